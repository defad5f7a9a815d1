/**
 * Decides a batch in order on cached state and turns it into columns: receipts, heads, postings, log, answers.
 * Promise: pure but for the salts; nothing is kept before the batch commits.
 */
import { randomBytes } from 'node:crypto';
import {
  appendLeaves,
  type Command,
  type Frontier,
  leafHash,
  type Posting,
  packFrontier,
  type Rules,
  rootOf,
} from '@tallystick/kernel';
import type { Outcome } from '../outcome.ts';
import { type Cache, Draft, type StreamHead } from './cache.ts';
import { type Decided, decideCommand, type TimerRow } from './decide.ts';
import type { Pending } from './pending.ts';
import { emptyWriteSet, type Move, type WriteSet } from './write-set.ts';

const SALT_BYTES = 16;
const KINDS: Record<NonNullable<Posting['kind']>, number> = { posted: 0, pending: 1, post: 2, void: 3 };

export interface Issue {
  rules: Rules;
  cache: Cache;
  shard: number;
  issuer: string;
  atUs: bigint;
}

export interface Plan {
  move: Move;
  set: WriteSet;
  draft: Draft;
  frontier: Frontier;
  /** Commands in the batch, with what they will be told once it is durable. */
  settled: { pending: Pending; outcome: Outcome }[];
  /** Commands whose rule threw: they are not in the batch. */
  bugs: { pending: Pending; error: Error }[];
  reactions: Command[];
}

/** Not to be written while its draft misses amounts of holds: these are read, and the batch planned again. */
export function planBatch(issue: Issue, batch: readonly Pending[]): Plan {
  const { cache, shard, atUs } = issue;
  const before = cache.frontier;
  if (!before) throw new TypeError('the cache was not loaded');
  const plan: Omit<Plan, 'move' | 'frontier'> = {
    set: emptyWriteSet(),
    draft: new Draft(cache),
    settled: [],
    bugs: [],
    reactions: [],
  };
  const timers = new Map<string, TimerRow>();
  const salts = randomBytes(SALT_BYTES * batch.length).toString('hex');
  const leaves: Buffer[] = [];
  for (const pending of batch) {
    const pos = before.size + leaves.length;
    const salt = salts.slice(leaves.length * SALT_BYTES * 2, (leaves.length + 1) * SALT_BYTES * 2);
    const decided = tryDecide(issue, plan, pending, pos, salt);
    if (!decided) continue;
    leaves.push(leafHash(decided.payload));
    writeRows(plan, pending, decided, pos);
    for (const row of decided.timers) timers.set(row.timer, row);
  }
  writeTimers(plan.set, timers);
  writeHeads(plan.set, plan.draft.streams, plan.settled);
  const { frontier, tileRoots } = appendLeaves(before, leaves);
  for (const { level, index, hash } of tileRoots) {
    plan.set.tileLevel.push(level);
    plan.set.tileIndex.push(index);
    plan.set.tileHash.push(hash);
  }
  const move = {
    shard,
    expectedHead: before.size,
    head: frontier.size,
    frontier: packFrontier(frontier),
    root: rootOf(frontier),
    atUs,
  };
  return { ...plan, move, frontier };
}

function tryDecide(
  { rules, shard, issuer, atUs }: Issue,
  plan: Pick<Plan, 'draft' | 'bugs'>,
  pending: Pending,
  pos: number,
  salt: string,
): Decided | undefined {
  try {
    return decideCommand(rules, plan.draft, pending, { shard, pos, atUs, issuer, salt });
  } catch (error) {
    plan.bugs.push({ pending, error: error as Error });
    return undefined;
  }
}

/** Cannot throw: what could was done while deciding. */
function writeRows(
  plan: Pick<Plan, 'set' | 'draft' | 'settled' | 'reactions'>,
  pending: Pending,
  decided: Decided,
  pos: number,
): void {
  const { set, draft } = plan;
  const { command } = pending;
  set.receiptStream.push(command.stream);
  set.receiptSeq.push(decided.head.receiptSeq);
  set.receiptOwner.push(decided.head.owner);
  set.receiptPayload.push(decided.payload);
  set.principal.push(command.principal);
  set.key.push(command.key);
  set.fingerprint.push(Buffer.from(pending.fingerprint, 'hex'));
  set.answer.push(decided.answerText);
  writeLedger(set, draft, decided, pos);
  decided.outbox.forEach(({ topic, lane, body }, ord) => {
    set.outboxPos.push(pos);
    set.outboxOrd.push(ord);
    set.topic.push(topic);
    set.lane.push(lane);
    set.body.push(body);
  });
  draft.streams.set(command.stream, decided.head);
  plan.settled.push({ pending, outcome: decided.outcome });
  plan.reactions.push(...decided.reactions);
}

function writeLedger(set: WriteSet, draft: Draft, { accepted }: Decided, pos: number): void {
  for (const { account, asset, noOverdraft } of accepted.opens ?? []) {
    set.account.push(account);
    set.accountAsset.push(asset);
    set.noOverdraft.push(noOverdraft ? 1 : 0);
    draft.open(account);
  }
  (accepted.postings ?? []).forEach((posting, ord) => {
    set.postingPos.push(pos);
    set.postingOrd.push(ord);
    set.kind.push(KINDS[posting.kind ?? 'posted']);
    set.asset.push(posting.asset);
    set.debit.push(posting.debit);
    set.credit.push(posting.credit);
    set.amount.push(posting.amountMicros);
    set.expiresUs.push(posting.expiresUs ?? null);
    set.holdPos.push(posting.hold?.pos ?? null);
    set.holdOrd.push(posting.hold?.ord ?? null);
    draft.apply(posting, { pos, ord });
  });
}

function writeTimers(set: WriteSet, timers: ReadonlyMap<string, TimerRow>): void {
  for (const { timer, round, dueUs, commandText } of timers.values()) {
    if (dueUs === undefined) {
      set.cleared.push(timer);
      continue;
    }
    set.timer.push(timer);
    set.round.push(round);
    set.dueUs.push(dueUs);
    set.timerCommand.push(commandText);
  }
}

/** One row per stream, however often the batch touched it. */
function writeHeads(set: WriteSet, heads: ReadonlyMap<string, StreamHead>, settled: Plan['settled']): void {
  const lastPos = new Map(settled.map(({ pending, outcome }) => [pending.command.stream, outcome.pos]));
  for (const [stream, head] of heads) {
    set.stream.push(stream);
    set.streamOwner.push(head.owner);
    set.streamStatus.push(typeof head.state['status'] === 'string' ? head.state['status'] : null);
    set.version.push(head.version);
    set.createdPos.push(head.createdPos);
    set.streamPos.push(lastPos.get(stream)!);
    set.streamSeq.push(head.receiptSeq);
    set.streamHash.push(Buffer.from(head.receiptHash, 'hex'));
    set.state.push(head.stateText);
  }
}
