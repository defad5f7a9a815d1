/**
 * Quotes whose payment can never be used any more: their principals may be asked to pay again.
 * Promise: a quote lapses only when a final block is past the payment's last moment and the token says that it was never used.
 */
import { type Engine, PAGE_MAX, streamsOfStatus } from '@tallystick/engine';
import type { BlockRef, Chain, ChainLink } from '@tallystick/engine/adapters/chain';
import { type QuoteState, quoteStream } from '@tallystick/treasury';
import type { Logger } from 'pino';
import type { Address, Hex } from 'viem';
import { pause } from '../reports.ts';

const LOOK_EVERY_MS = 5_000;
const ANY_BODY = '0'.repeat(64);

export interface LapsingOptions {
  engine: Engine;
  confirmations: number;
  log: Logger;
}

/** One look. Says how many lapsed. @errors rejects with ChainFault or Fault: the next look sees the same again */
export async function lapseQuotes(
  chain: Chain,
  { engine, confirmations }: Omit<LapsingOptions, 'log'>,
): Promise<number> {
  const bound = await boundQuotes(engine, chain.key);
  if (bound.length === 0) return 0;
  const { number: newest } = await chain.head();
  const final = await chain.header(newest - BigInt(confirmations) + 1n);
  const timeS = final && (await chain.blockTime(final.number));
  if (!final || timeS === undefined) return 0;
  const over = bound.filter(({ payment }) => payment !== null && BigInt(payment.valid_before) <= timeS);
  let lapsed = 0;
  for (const quote of over) if (await lapse(engine, chain, quote, { ...final, timeS })) lapsed += 1;
  return lapsed;
}

async function boundQuotes(engine: Engine, rail: string): Promise<QuoteState[]> {
  const rows = await streamsOfStatus(engine, { kind: 'quote', status: 'bound', limit: PAGE_MAX });
  return rows.map(({ state }) => state as unknown as QuoteState).filter((quote) => quote.rail === rail);
}

async function lapse(
  engine: Engine,
  chain: Chain,
  { id, payment }: QuoteState,
  { number, hash, timeS }: BlockRef & { timeS: bigint },
): Promise<boolean> {
  const { from, nonce } = payment!;
  if (await chain.authorizationState(from as Address, nonce as Hex, number)) return false;
  const stream = quoteStream(id);
  const { rejection } = await engine.execute({
    principal: 'platform',
    key: `${stream}:lapse:${from}:${nonce}:${hash}`,
    fingerprint: ANY_BODY,
    stream,
    type: 'LapseQuote',
    body: { block: String(number), block_hash: hash, block_time_s: String(timeS) },
  });
  return rejection === undefined;
}

/** Runs until the signal aborts; a chain that is away is asked again. */
export async function lapseForEver(link: ChainLink, options: LapsingOptions, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await pause(LOOK_EVERY_MS, signal);
    await link
      .chain()
      .then((chain) => lapseQuotes(chain, options))
      .catch((fault: Error) => options.log.debug({ fault: fault.message }, 'quotes are looked at again later'));
  }
}
