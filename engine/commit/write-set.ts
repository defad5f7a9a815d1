/**
 * The rows of one batch as columns, in the order of the parameters of `engine.commit`.
 * Promise: one list of columns names them, types them and orders them; there is no second one in TypeScript.
 */
import type { Statement } from '../connection.ts';
import { type ElementType, type ElementValue, encodeArray } from './array-encoding.ts';

const COLUMNS = {
  receiptStream: 'text',
  receiptSeq: 'bigint',
  receiptOwner: 'text',
  receiptPayload: 'bytea',
  stream: 'text',
  streamOwner: 'text',
  streamStatus: 'text',
  version: 'bigint',
  createdPos: 'bigint',
  streamPos: 'bigint',
  streamSeq: 'bigint',
  streamHash: 'bytea',
  state: 'text',
  account: 'text',
  accountAsset: 'text',
  noOverdraft: 'smallint',
  postingPos: 'bigint',
  postingOrd: 'smallint',
  kind: 'smallint',
  asset: 'text',
  debit: 'text',
  credit: 'text',
  amount: 'bigint',
  expiresUs: 'bigint',
  holdPos: 'bigint',
  holdOrd: 'smallint',
  principal: 'text',
  key: 'text',
  fingerprint: 'bytea',
  answer: 'text',
  tileLevel: 'smallint',
  tileIndex: 'bigint',
  tileHash: 'bytea',
  timer: 'text',
  round: 'bigint',
  dueUs: 'bigint',
  timerCommand: 'text',
  cleared: 'text',
  outboxPos: 'bigint',
  outboxOrd: 'smallint',
  topic: 'text',
  lane: 'text',
  body: 'text',
} as const satisfies Record<string, ElementType>;

type Column = keyof typeof COLUMNS;
export type WriteSet = { [C in Column]: ElementValue[(typeof COLUMNS)[C]][] };

const NAMES = Object.keys(COLUMNS) as Column[];

export const emptyWriteSet = (): WriteSet => Object.fromEntries(NAMES.map((name) => [name, []])) as unknown as WriteSet;

/** What guards the batch, and where it takes the log. */
export interface Move {
  shard: number;
  expectedHead: number;
  head: number;
  frontier: Buffer;
  root: Buffer;
  atUs: bigint;
}

const MOVE_TYPES = ['smallint', 'bigint', 'bigint', 'bytea', 'bytea', 'bigint'];

export const COMMIT: Statement = {
  name: 'commit',
  text: `select won, repeats from engine.commit(${[...MOVE_TYPES, ...NAMES.map((name) => `${COLUMNS[name]}[]`)]
    .map((type, i) => `$${i + 1}::${type}`)
    .join(', ')})`,
};

export const commitParameters = (move: Move, set: WriteSet): unknown[] => [
  move.shard,
  move.expectedHead,
  move.head,
  move.frontier,
  move.root,
  move.atUs,
  ...NAMES.map((name) => encodeArray(COLUMNS[name], set[name] as never)),
];
