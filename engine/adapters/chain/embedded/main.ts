/**
 * The development chain as a program of its own.
 * Promise: one JSON line on standard output once it answers; the next start has the same blocks.
 */
import { join } from 'node:path';
import { announceReady, integerSetting, textSetting, untilStopped } from '../../../program/index.ts';
import { DEVELOPMENT_TOKEN, startDevelopmentChain } from './chain.ts';
import { serveChain } from './server.ts';

const PORT_MAX = 65_535;

const port = integerSetting(process.env, 'TALLY_CHAIN_PORT', { fallback: 0, min: 0, max: PORT_MAX });
const folder = textSetting(process.env, 'TALLY_DATA');
const stopped = untilStopped();
using chain = await startDevelopmentChain({ journalFile: join(folder, 'chain', 'journal.jsonl') });
const { url, server } = await serveChain(chain, port);
const { chainId, token, factory } = chain;
const { name, version } = DEVELOPMENT_TOKEN;
announceReady({ program: 'chain', url, chain_id: chainId, token, token_name: name, token_version: version, factory });
await stopped;
server.close();
server.closeAllConnections();
