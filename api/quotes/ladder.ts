/**
 * Which amounts are offered to somebody who lacks money: what is missing, and what their machines need for some time.
 * Promise: smallest first, none below the platform's smallest payment; one bounded question to the database.
 */
import type { Engine } from '@tallystick/engine';
import { burnMicrosPerHour, DEFAULT_POLICY, pricePerMinute } from '@tallystick/hosting';
import { type Command, countIn } from '@tallystick/kernel';
import type { QuoteOption } from '@tallystick/treasury';
import { burningMachines } from '../forecast.ts';

const MINUTES_PER_HOUR = 60n;
/** A whole caller's whole ladder stays below this. */
export const OPTION_MICROS_MAX = 1_000_000_000_000n;

const STEPS: readonly { label: string; hours: bigint }[] = [
  { label: 'runway_6h', hours: 6n },
  { label: 'runway_24h', hours: 24n },
  { label: 'safe_floor_48h', hours: 48n },
];

/** Amounts that differ, from what is missing up to two days of what runs. */
export function ladderOf(shortfallMicros: bigint, microsPerHour: bigint, leastMicros: bigint): QuoteOption[] {
  const isBelow = shortfallMicros < leastMicros;
  const options = [{ label: isBelow ? 'minimum' : 'shortfall', micros: isBelow ? leastMicros : shortfallMicros }];
  for (const { label, hours } of STEPS) {
    const micros = shortfallMicros + hours * microsPerHour;
    if (micros > options.at(-1)!.micros && micros <= OPTION_MICROS_MAX) options.push({ label, micros });
  }
  return options.map(({ label, micros }) => ({ label, amount_micros: String(micros) }));
}

/** Micros per hour of all that burns, with the machine that the command asks for. Who has more than is counted is offered less time. */
export async function burnOf(engine: Engine, command: Command): Promise<bigint> {
  const machines = await burningMachines(engine, command.principal);
  return burnMicrosPerHour(machines) + askedPerMinute(command) * MINUTES_PER_HOUR;
}

/** As large as anybody may have; the command itself is clamped when it is decided. */
function askedPerMinute({ type, body }: Command): bigint {
  if (type !== 'OpenSandbox') return 0n;
  const { cpu_millis_max, ram_mib_max, disk_mib_max } = DEFAULT_POLICY.tiers.trusted;
  const within = (name: string, max: number): number => Math.min(countIn(body, name), max);
  return pricePerMinute({
    cpu_millis: within('cpu_millis', cpu_millis_max),
    ram_mib: within('ram_mib', ram_mib_max),
    disk_mib: within('disk_mib', disk_mib_max),
  });
}
