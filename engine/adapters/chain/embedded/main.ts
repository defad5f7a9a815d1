/**
 * The development chain as a program of its own.
 * Promise: one JSON line on standard output once it answers; the next start has the same blocks; the platform's keys have gas.
 */
import { join } from 'node:path';
import { type Address, getAddress } from 'viem';
import { announceReady, integerSetting, startOrTell, textSetting, untilStopped } from '../../../program/index.ts';
import { DEVELOPMENT_TOKEN, startDevelopmentChain } from './chain.ts';
import { serveChain } from './server.ts';

const PORT_MAX = 65_535;

/** Comma separated. @errors throws for a text that is none */
function addressesIn(text: string): Address[] {
  return text
    .split(',')
    .filter((one) => one !== '')
    .map((one) => getAddress(one));
}

const { port, folder } = await startOrTell(async () => ({
  port: integerSetting(process.env, 'TALLY_CHAIN_PORT', { fallback: 0, min: 0, max: PORT_MAX }),
  folder: textSetting(process.env, 'TALLY_DATA'),
}));
const stopped = untilStopped();
using chain = await startDevelopmentChain({
  journalFile: join(folder, 'chain', 'journal.jsonl'),
  hasIdleBlocks: true,
});
for (const to of addressesIn(process.env['TALLY_CHAIN_GAS_FOR'] ?? ''))
  await chain.faucet.give({ to, micros: 0n, reference: 'gas', withGas: true });
const { url, server } = await serveChain(chain, port);
const { chainId, token, factory } = chain;
const { name, version } = DEVELOPMENT_TOKEN;
announceReady({ program: 'chain', url, chain_id: chainId, token, token_name: name, token_version: version, factory });
await stopped;
server.close();
server.closeAllConnections();
