/**
 * Receipts and tickets of an export, one after the other.
 * Promise: a receipt counts only when it is in the signed log, continues its stream, and is what the rules decide again.
 */
import {
  applyReceipt,
  base64Bytes,
  type Envelope,
  type ExportReceipt,
  leafHash,
  memoryWorld,
  type Receipt,
  type Rules,
  sha256Hex,
  verifyInclusion,
  type World,
} from '@tallystick/kernel';
import { type BookCheck, createBookCheck } from './books.ts';
import type { OpenedHeader } from './header.ts';
import type { Place, ProblemList, VerifyReport } from './report.ts';
import { readReceipt } from './shapes.ts';
import { createTicketCheck, type TicketCheck } from './tickets.ts';

export interface ContentCheck {
  receipt(place: Place, line: ExportReceipt): void;
  ticket(place: Place, envelope: Envelope): void;
  /** A line that could not be read; what it held is unknown from here on. */
  unread(place: Place): void;
  /** What can only be said of the whole: size, balances, users. */
  finish(place: Place): void;
  counts(): Pick<VerifyReport, 'receipts' | 'redecided' | 'streams' | 'tickets'>;
  trialBalance(): VerifyReport['trial_balance'];
}

interface Content {
  readonly opened: OpenedHeader;
  readonly problems: ProblemList;
  readonly world: World;
  readonly sales: TicketCheck;
  readonly books: BookCheck;
  /** Streams that a decision looked at besides its own. */
  readonly lookedAt: Set<string>;
  /** Position of the last receipt line, -1 before the first. */
  lastPos: number;
  receipts: number;
  redecided: number;
  tickets: number;
  /** Where a receipt was lost or wrong; what follows it cannot be replayed. */
  derailedAt: Place | undefined;
}

export function createContentCheck(opened: OpenedHeader, rules: Rules, problems: ProblemList): ContentCheck {
  const isWhole = opened.header.owner === null;
  const world = memoryWorld(rules, { isWhole, isStrict: false });
  const content: Content = {
    opened,
    problems,
    world,
    sales: createTicketCheck(opened.leaseKeys),
    books: createBookCheck(world),
    lookedAt: new Set(),
    lastPos: -1,
    receipts: 0,
    redecided: 0,
    tickets: 0,
    derailedAt: undefined,
  };
  return {
    receipt: (place, line) => checkReceipt(content, place, line),
    ticket: (place, envelope) => checkTicket(content, place, envelope),
    unread: (place) => derail(content, place),
    finish: (place) => finish(content, place),
    counts: () => ({
      receipts: content.receipts,
      redecided: content.redecided,
      streams: world.streams.size,
      tickets: content.tickets,
    }),
    trialBalance: () => [...world.trialBalance()].map(([asset, sum]) => ({ asset, sum_micros: String(sum) })),
  };
}

function checkReceipt(content: Content, line: Place, { pos, receipt: text, proof }: ExportReceipt): void {
  const { world, problems, lastPos } = content;
  const place: Place = { ...line, pos };
  content.receipts++;
  content.lastPos = Math.max(pos, lastPos);
  if (pos <= lastPos) problems.add(place, `stands after position ${lastPos}: out of order or twice`);
  else if (world.isWhole && pos !== lastPos + 1)
    problems.add(place, `follows position ${lastPos}: receipts are missing`);
  checkInclusion(content, place, text, proof);
  try {
    const receipt = readReceipt(text);
    replay(content, { ...place, stream: receipt.stream }, receipt, sha256Hex(text));
  } catch (error) {
    problems.add(place, `receipt: ${(error as Error).message}`);
    derail(content, place);
  }
}

function checkInclusion({ opened, problems }: Content, place: Place, text: string, proof: string[]): void {
  if (!opened.checkpoint) return;
  const { size, root } = opened.checkpoint;
  const path = proof.map((hash) => base64Bytes(hash) ?? Buffer.alloc(0));
  if (!verifyInclusion(leafHash(text), place.pos!, size, path, root))
    problems.add(place, 'the proof does not lead from the receipt to the signed root');
}

/** After the first receipt that is wrong or lost nothing that follows is known to be right or wrong by replay. */
function replay(content: Content, place: Place, receipt: Receipt, hash: string): void {
  const { world, problems, opened, books, sales } = content;
  const { origin, owner } = opened.header;
  if (receipt.issuer !== origin) problems.add(place, `issued by ${receipt.issuer}, the log is ${origin}`);
  if (owner !== null && receipt.owner !== null && receipt.owner !== owner)
    problems.add(place, `belongs to ${receipt.owner}, not to ${owner}`);
  sales.sold(place.pos!, receipt, hash);
  if (content.derailedAt) return;
  const before = problems.total;
  const { problems: found, isRedecided } = applyReceipt(world, receipt, { pos: place.pos!, hash });
  for (const { pointer, problem } of found) problems.add(place, `${pointer || 'the receipt'} ${problem}`);
  if (isRedecided) content.redecided++;
  books.enter(receipt);
  for (const stream of Object.keys(receipt.seen.streams)) content.lookedAt.add(stream);
  if (problems.total > before) derail(content, place);
}

function derail(content: Content, place: Place): void {
  content.derailedAt ??= place;
}

function checkTicket(content: Content, place: Place, envelope: Envelope): void {
  content.tickets++;
  content.sales.ticket(envelope, (what, found) => content.problems.add({ ...place, ...found }, what));
}

function finish(content: Content, place: Place): void {
  const { opened, world, problems, lastPos, derailedAt, books } = content;
  const say = (what: string): void => problems.add(place, what);
  const size = opened.checkpoint?.size;
  if (world.isWhole && size !== undefined && lastPos + 1 !== size)
    say(`the signed log has ${size} receipts, the export ends at position ${lastPos}`);
  if (derailedAt) {
    say(`replay stopped at line ${derailedAt.line}: balances and later decisions were not judged`);
    return;
  }
  checkOwners(content, place);
  for (const { stream, what } of books.judge()) problems.add(stream === undefined ? place : { ...place, stream }, what);
}

/** In the export of one owner stands only what is theirs, and what is nobody's but decided about it. */
function checkOwners({ opened, world, problems, lookedAt }: Content, place: Place): void {
  const { owner } = opened.header;
  for (const [stream, known] of world.streams) {
    const isTheirs = known.owner === owner || (known.owner === null && lookedAt.has(stream));
    if (owner !== null && !isTheirs) problems.add({ ...place, stream }, `belongs to ${known.owner}, not to ${owner}`);
  }
}
