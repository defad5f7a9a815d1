/**
 * Whether the relayer can pay for carrying payments to the chain.
 * Promise: asked once in a while, however many want to know; a chain that is away is not taken for a lack of money.
 */
import { affordableSettlements, type ChainLink } from '@tallystick/engine/adapters/chain';

/** With money for fewer than this, no new payment is asked for: what is under way needs it. */
export const SETTLEMENTS_MIN = 5n;
const ASK_EVERY_MS = 10_000;

export interface GasGauge {
  /** Payments that it could carry now; undefined when the chain cannot be asked. */
  settlements(): Promise<bigint | undefined>;
  /** Whether payments may be asked for. */
  isEnough(): Promise<boolean>;
}

export function gasGauge(
  link: Pick<ChainLink, 'chain'>,
  relayer: string,
  nowMs: () => number = () => performance.now(),
): GasGauge {
  let last: { atMs: number; left: Promise<bigint | undefined> } | undefined;
  const ask = async (): Promise<bigint | undefined> =>
    affordableSettlements(await link.chain(), relayer as `0x${string}`).catch(() => undefined);
  const settlements = (): Promise<bigint | undefined> => {
    if (!last || nowMs() - last.atMs >= ASK_EVERY_MS) last = { atMs: nowMs(), left: ask().catch(() => undefined) };
    return last.left;
  };
  return { settlements, isEnough: async () => ((await settlements()) ?? SETTLEMENTS_MIN) >= SETTLEMENTS_MIN };
}

/** For /readyz: a word on what is wrong. @errors rejects with it */
export async function assertSettles(gauge: GasGauge, relayer: string): Promise<void> {
  const left = await gauge.settlements();
  if (left === undefined) throw new Error('the chain does not answer');
  if (left < SETTLEMENTS_MIN)
    throw new Error(`payments cannot be settled: the relayer ${relayer} has gas for ${left} of them`);
}
