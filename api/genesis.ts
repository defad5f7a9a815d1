/**
 * Opens the ledger's own accounts at the first start.
 * Promise: safe at every start and from any number of programs at once.
 */
import type { Engine } from '@tallystick/engine';

/** @errors throws when the database cannot be asked. */
export async function openGenesis(engine: Engine, providers: string[]): Promise<void> {
  const key = `open-ledger:${providers.toSorted().join(',')}`;
  await engine.execute({
    principal: 'platform',
    key,
    stream: 'ledger:platform',
    type: 'OpenLedger',
    body: { providers },
  });
}
