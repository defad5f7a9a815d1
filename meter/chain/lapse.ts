/**
 * Quotes whose payment can never be used any more: their principals may be asked to pay again.
 * Promise: a quote lapses only when a final block is past the payment's last moment, and the token says that it was never used or
 * every block up to there was looked through and its money did not come.
 */
import { type Engine, PAGE_MAX, readStream, streamsOfStatus } from '@tallystick/engine';
import type { BlockRef, Chain, ChainLink } from '@tallystick/engine/adapters/chain';
import { isOnlyAwaited, type QuoteState, quoteStream, type RailState, railStream } from '@tallystick/treasury';
import type { Logger } from 'pino';
import type { Address, Hex } from 'viem';
import { pause } from '../reports.ts';
import type { MarkWish } from './marks.ts';

const LOOK_EVERY_MS = 5_000;
const ANY_BODY = '0'.repeat(64);

export interface LapsingOptions {
  engine: Engine;
  confirmations: number;
  /** By which the watcher is asked to say how far it has looked. */
  wish?: MarkWish;
  log: Logger;
}

/** A block that is final, and when it was made. */
type Moment = BlockRef & { timeS: bigint };

/** One look. Says how many lapsed. @errors rejects with ChainFault or Fault: the next look sees the same again */
export async function lapseQuotes(
  chain: Chain,
  { engine, confirmations, wish = { upTo: -1n } }: Omit<LapsingOptions, 'log'>,
): Promise<number> {
  const awaited = await awaitedQuotes(engine, chain.key);
  if (awaited.length === 0) return 0;
  const { number: newest } = await chain.head();
  const final = await momentOf(chain, await chain.header(newest - BigInt(confirmations) + 1n));
  const over = final ? awaited.filter((quote) => isOver(quote, final)) : [];
  if (!final || over.length === 0) return 0;
  const scanned = await scannedMoment(engine, chain);
  let lapsed = 0;
  for (const quote of over) {
    const said = await lapse(engine, chain, quote, { final, scanned });
    if (said === 'unseen') wish.upTo = final.number;
    if (said === 'lapsed') lapsed += 1;
  }
  return lapsed;
}

const isOver = ({ payment }: QuoteState, { timeS }: Moment): boolean =>
  payment !== null && BigInt(payment.valid_before) <= timeS;

async function momentOf(chain: Chain, block: BlockRef | undefined): Promise<Moment | undefined> {
  const timeS = block && (await chain.blockTime(block.number));
  return timeS === undefined ? undefined : { ...block!, timeS };
}

/** The newest block up to which the watcher has looked; undefined when the chain has another one there by now. */
async function scannedMoment(engine: Engine, chain: Chain): Promise<Moment | undefined> {
  const rail = (await readStream(engine, railStream(chain.key)))?.state as unknown as RailState | undefined;
  if (!rail || BigInt(rail.scanned.number) < 0n) return undefined;
  const block = await chain.header(BigInt(rail.scanned.number));
  return block?.hash === rail.scanned.hash ? momentOf(chain, block) : undefined;
}

/** All of them whose money is not known to have come, with nothing of ours on its way. */
async function awaitedQuotes(engine: Engine, rail: string): Promise<QuoteState[]> {
  const quotes = await Promise.all(['bound', 'signed'].map((status) => quotesOf(engine, status)));
  return quotes.flat().filter((quote) => quote.rail === rail && isOnlyAwaited(quote));
}

async function quotesOf(engine: Engine, status: string): Promise<QuoteState[]> {
  const found: QuoteState[] = [];
  for (let after: number | undefined; ; ) {
    const from = after === undefined ? {} : { after };
    const rows = await streamsOfStatus(engine, { kind: 'quote', status, limit: PAGE_MAX, ...from });
    found.push(...rows.map(({ state }) => state as unknown as QuoteState));
    after = rows.at(-1)?.createdPos;
    if (rows.length < PAGE_MAX || after === undefined) return found;
  }
}

/** `unseen`: it was used, and not every block that may hold its money was looked through. */
async function lapse(
  engine: Engine,
  chain: Chain,
  quote: QuoteState,
  { final, scanned }: { final: Moment; scanned: Moment | undefined },
): Promise<'lapsed' | 'unseen' | 'refused'> {
  const { id, payment, rail } = quote;
  const { from, nonce } = payment!;
  const is_used = await chain.authorizationState(from as Address, nonce as Hex, final.number);
  const at = is_used ? scanned : final;
  if (!at || !isOver(quote, at)) return 'unseen';
  if (!(await isNonceTaken(chain, quote, final.number))) return 'refused';
  const stream = quoteStream(id);
  const { rejection } = await engine.execute({
    principal: 'platform',
    key: `${stream}:lapse:${from}:${nonce}:${at.hash}:${is_used}`,
    fingerprint: ANY_BODY,
    stream,
    type: 'LapseQuote',
    body: {
      rail,
      payer: from,
      nonce,
      block: String(at.number),
      block_hash: at.hash,
      block_time_s: String(at.timeS),
      is_used,
    },
  });
  return rejection === undefined ? 'lapsed' : 'refused';
}

/** While the chain has forgotten a final transaction, its bytes must be sent again: all others of its key wait for its nonce. */
const isNonceTaken = async (chain: Chain, { broadcast }: QuoteState, final: bigint): Promise<boolean> =>
  broadcast.phase !== 'final' ||
  (await chain.transactionCount(broadcast.signer as Address, final)) > BigInt(broadcast.nonce);

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
