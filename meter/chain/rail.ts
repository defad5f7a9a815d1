/**
 * A chain, taken into the ledger.
 * Promise: safe at every start and from any number of programs; a chain that was taken with other places is nobody's.
 */
import { assertPlaces, type Chain, placesOf } from '@tallystick/engine/adapters/chain';
import { railStream } from '@tallystick/treasury';
import type { DepositCommands } from './deposit-commands.ts';

/** @errors rejects with ChainFault `misconfigured` when the settings name other places than the ledger; with Fault when it was not asked */
export async function openRail(commands: DepositCommands, { key, config }: Chain): Promise<void> {
  const places = placesOf(config);
  const open = `open:${JSON.stringify(places)}`;
  const { rejection, facts = {} } = await commands.ask(railStream(key), 'OpenRail', open, { ...places });
  if (rejection !== 'ALREADY_EXISTS') return;
  const [token, treasury, factory] = ['first_token', 'first_treasury', 'first_factory'].map((name) =>
    String(facts[name]),
  );
  assertPlaces(config, { token: token!, treasury: treasury!, factory: factory! });
}
