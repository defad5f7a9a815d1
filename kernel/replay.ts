/**
 * Deciding a receipt again in a world of those before it.
 * Promise: a receipt whose decision, facts, chain or ledger effect differs from what the rules give is told where.
 */
import { jcs } from './canonical.ts';
import { type Decider, deciderOf } from './decider.ts';
import { sha256Hex } from './hashes.ts';
import type { Json, JsonObject } from './json.ts';
import { post } from './ledger.ts';
import type { Receipt } from './receipt.ts';
import { commandOf, effectsOf, opensOf, postingsOf, QUARANTINE_PREFIX } from './receipt-form.ts';
import { type SeenSource, watchSeen } from './seen.ts';
import { streamIn, type World, type WorldStream } from './world.ts';

/** `pointer` is a JSON pointer into the receipt. */
export interface Problem {
  pointer: string;
  problem: string;
}

export interface Applied {
  /** Empty: the receipt is right. */
  problems: Problem[];
  /** False when a world that is not whole lacks a stream that the rule looks at, or the database refused the command. */
  isRedecided: boolean;
}

/** Where the receipt stands; without it, at the world's head and with the hash of its canonical form. */
export interface ReceiptAt {
  pos?: number;
  /** Hex SHA-256 of the stored bytes. */
  hash?: string;
}

class UnknownFact extends Error {}

/**
 * Checks the receipt against the world and moves the world on by what the receipt says, right or wrong.
 * Facts it recorded are compared with the world's where the world knows them. Never throws for a well-formed receipt.
 */
export function applyReceipt(world: World, receipt: Receipt, at: ReceiptAt = {}): Applied {
  const problems: Problem[] = [];
  const pos = at.pos ?? world.head;
  if (!world.rules.deciders.has(receipt.stream.slice(0, receipt.stream.indexOf(':'))))
    return { problems: [{ pointer: '/stream', problem: `no rule for ${receipt.stream}` }], isRedecided: false };
  const decider = deciderOf(world.rules, receipt.stream);
  const before = streamIn(world, receipt.stream);
  checkChain(world, before, receipt, pos, problems);
  checkSeen(world, decider, receipt, problems);
  const isRedecided = decideAgain(world, decider, before.state, receipt, problems);
  const state = evolveAgain(decider, before, receipt, problems);
  const entry = { pos, atUs: BigInt(receipt.at_us), opens: opensOf(receipt), postings: postingsOf(receipt) };
  problems.push(...post(world.ledger, entry, world.isWhole));
  const hash = at.hash ?? sha256Hex(jcs(receipt as unknown as JsonObject));
  const { seq, owner, decision } = receipt;
  world.streams.set(receipt.stream, { version: decision.to, seq, hash, state, owner });
  world.head = pos + 1;
  world.atUs = entry.atUs;
  return { problems, isRedecided };
}

function checkChain(world: World, before: WorldStream, receipt: Receipt, pos: number, problems: Problem[]): void {
  const expect = (isRight: boolean, pointer: string, problem: string): void => {
    if (!isRight) problems.push({ pointer, problem });
  };
  const { seq, prev, decision } = receipt;
  expect(world.isWhole ? pos === world.head : pos >= world.head, '', `stands at ${pos}, the log is at ${world.head}`);
  expect(seq === before.seq + 1, '/seq', `is ${seq} after ${before.seq}`);
  expect(prev === before.hash, '/prev', 'is not the hash of the previous receipt of the stream');
  expect(
    decision.from === before.version,
    '/decision/from',
    `is ${decision.from}, the stream has ${before.version} events`,
  );
  expect(
    decision.to === decision.from + receipt.events.length,
    '/decision/to',
    `is ${decision.to}, not from plus events`,
  );
  expect(BigInt(receipt.at_us) >= world.atUs, '/at_us', `goes back behind ${world.atUs}`);
  const policyHash = world.rules.policy.hash;
  expect(receipt.policy.hash === policyHash, '/policy/hash', `decided under another policy than ${policyHash}`);
}

/** Recorded facts must be among those the rule may look at, and equal the world's where it knows them. */
function checkSeen(world: World, decider: Decider, receipt: Receipt, problems: Problem[]): void {
  const { streams = [], accounts = [] } = readsAgain(decider, receipt, problems);
  for (const [stream, version] of Object.entries(receipt.seen.streams)) {
    const pointer = `/seen/streams/${escapePointer(stream)}`;
    if (!streams.includes(stream)) problems.push({ pointer, problem: 'the rule does not name this stream' });
    const known = world.streams.get(stream)?.version ?? (world.isWhole ? 0 : version);
    if (known !== version) problems.push({ pointer, problem: `is ${version}, the stream had ${known} events` });
  }
  for (const [account, amount] of Object.entries(receipt.seen.accounts)) {
    const pointer = `/seen/accounts/${escapePointer(account)}`;
    if (!accounts.includes(account)) problems.push({ pointer, problem: 'the rule does not name this account' });
    const available = world.availableMicros(account);
    const known = available === undefined ? (world.isWhole ? null : amount) : String(available);
    if (known !== amount) problems.push({ pointer, problem: `is ${amount}, the account had ${known}` });
  }
}

function readsAgain(decider: Decider, receipt: Receipt, problems: Problem[]) {
  try {
    return decider.reads(commandOf(receipt));
  } catch (error) {
    problems.push({ pointer: '/command/body', problem: `the rule cannot say what it reads: ${String(error)}` });
    return {};
  }
}

function decideAgain(
  world: World,
  decider: Decider,
  state: JsonObject,
  receipt: Receipt,
  problems: Problem[],
): boolean {
  const { rejection, facts } = receipt.decision;
  if (rejection?.startsWith(QUARANTINE_PREFIX)) {
    const isEmpty = receipt.events.length + receipt.postings.length + receipt.accounts.length === 0;
    if (!isEmpty) problems.push({ pointer: '/decision/rejection', problem: 'a quarantined command has effects' });
    return false;
  }
  try {
    const command = commandOf(receipt);
    const { seen } = watchSeen(decider.reads(command), recordedFacts(world, receipt));
    const { rule, ...effects } = effectsOf(decider.decide(state, command, seen));
    const { events, accounts, postings, evidence, policy } = receipt;
    const recorded = { rejection, facts, events, accounts, postings, evidence };
    compare(effects, recorded, problems);
    if (rule !== policy.rule)
      problems.push({ pointer: '/policy/rule', problem: `is ${policy.rule}, the rules give ${rule}` });
    return true;
  } catch (error) {
    if (!(error instanceof UnknownFact))
      problems.push({ pointer: '/decision', problem: `the rule throws: ${String(error)}` });
    return false;
  }
}

/** States from the world, amounts from the receipt: `checkSeen` has compared them where both are known. */
const recordedFacts = (world: World, receipt: Receipt): SeenSource => ({
  atUs: BigInt(receipt.at_us),
  stream(name) {
    const version = receipt.seen.streams[name];
    if (version === undefined) throw new TypeError(`the receipt does not record the stream ${name}`);
    const known = streamIn(world, name);
    if (known.version !== version && !world.isWhole) throw new UnknownFact(name);
    return known;
  },
  availableMicros(account) {
    const amount = receipt.seen.accounts[account];
    if (amount === undefined) throw new TypeError(`the receipt does not record the account ${account}`);
    return amount === null ? undefined : BigInt(amount);
  },
});

function compare(effects: object, recorded: object, problems: Problem[]): void {
  const pointer = firstDifference(effects as JsonObject, recorded as JsonObject, '');
  if (pointer === undefined) return;
  const isOfDecision = /^\/(rejection|facts)/.test(pointer);
  problems.push({ pointer: isOfDecision ? `/decision${pointer}` : pointer, problem: 'is not what the rules give' });
}

function evolveAgain(decider: Decider, before: WorldStream, receipt: Receipt, problems: Problem[]): JsonObject {
  try {
    const state = receipt.events.reduce((s, event) => decider.evolve(s, event), before.state);
    if (sha256Hex(jcs(state)) !== receipt.decision.state_hash)
      problems.push({ pointer: '/decision/state_hash', problem: 'the events lead to another state' });
    if (decider.owner(state) !== receipt.owner)
      problems.push({ pointer: '/owner', problem: `the rule says ${decider.owner(state)}` });
    return state;
  } catch (error) {
    problems.push({ pointer: '/events', problem: `the rule cannot apply them: ${String(error)}` });
    return before.state;
  }
}

/** The JSON pointer of the first difference between two values; undefined when they are equal. */
export function firstDifference(a: Json | undefined, b: Json | undefined, pointer: string): string | undefined {
  if (a === b) return undefined;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return pointer;
  if (Array.isArray(a) !== Array.isArray(b)) return pointer;
  const [left, right] = [a as JsonObject, b as JsonObject];
  for (const key of Object.keys(left)) {
    if (!Object.hasOwn(right, key)) return `${pointer}/${escapePointer(key)}`;
    const difference = firstDifference(left[key], right[key], `${pointer}/${escapePointer(key)}`);
    if (difference !== undefined) return difference;
  }
  const extra = Object.keys(right).find((key) => !Object.hasOwn(left, key));
  return extra === undefined ? undefined : `${pointer}/${escapePointer(extra)}`;
}

const escapePointer = (key: string): string => key.replaceAll('~', '~0').replaceAll('/', '~1');
