/**
 * A chain, taken into the ledger before anybody is told an address on it.
 * Promise: safe at every start and from any number of programs; a chain that was taken with other places is nobody's.
 */
import { type Engine, Fault, readStream } from '@tallystick/engine';
import { assertPlaces, type Chain, placesOf } from '@tallystick/engine/adapters/chain';
import { type RailState, railStream } from '@tallystick/treasury';

/** @errors rejects with ChainFault `misconfigured` when the settings name other places than the ledger; with Fault when it was not asked */
export async function openRail(engine: Engine, { key, config }: Chain): Promise<void> {
  const [stream, places] = [railStream(key), placesOf(config)];
  await engine.execute({
    principal: 'platform',
    key: `take:${stream}:${JSON.stringify(places)}`,
    stream,
    type: 'OpenRail',
    body: { ...places },
  });
  const found = await readStream(engine, stream);
  if (!found) throw new Fault(`${stream} was not opened: too many commands wait`);
  assertPlaces(config, found.state as unknown as RailState);
}
