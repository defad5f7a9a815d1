/** Attacks on the ledger and the log, as plain SQL in the application's roles and in the owner's: what is tried, how it is refused. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { commitParameters, emptyWriteSet, type WriteSet } from './commit/write-set.ts';
import type { Database } from './database/index.ts';
import { STATEMENTS } from './statements.ts';
import { newTestShard } from './testing.ts';

const BALANCE = 'LG003';
const DENIED = '42501';
const CHECK = '23514';
const DOOR = 'LG009';

interface Row {
  kind: number;
  asset: string;
  debit: string;
  credit: string;
  amount: bigint;
  expires: bigint | null;
  hold: number | null;
  /** Relative to the batch: 0 is its receipt. */
  place: number;
}
const row = (more: Partial<Row>): Row => ({
  kind: 0,
  asset: 'usd',
  debit: 'user',
  credit: 'shop',
  amount: 1n,
  expires: null,
  hold: null,
  place: 0,
  ...more,
});

describe('attacks', () => {
  let database: Database;
  let shard: number;
  const clients: Record<string, pg.Client> = {};

  before(async () => {
    ({ database, shard } = await newTestShard());
    for (const role of ['owner', 'api', 'meter'] as const) {
      clients[role] = new pg.Client(database.as(role));
      await clients[role].connect();
    }
    const accounts = [
      ['world', 'usd', 0],
      ['user', 'usd', 1],
      ['shop', 'usd', 0],
      ['cap', 'cap', 0],
    ] as const;
    await committed([row({ debit: 'world', credit: 'user', amount: 1000n })], (set) => {
      for (const [account, asset, noOverdraft] of accounts) {
        set.account.push(account);
        set.accountAsset.push(asset);
        set.noOverdraft.push(noOverdraft);
      }
    });
  });
  after(async () => {
    for (const client of Object.values(clients)) await client.end();
  });

  const headNow = async (client: pg.Client): Promise<number> =>
    Number((await client.query('select head from engine.shard where shard = $1', [shard])).rows[0].head);

  /** A frontier of the right length, with nothing true in it. */
  const fakeFrontier = (size: number): Buffer =>
    Buffer.alloc(32 * [...size.toString(2)].filter((bit) => bit === '1').length);

  /** Calls the commit function with one receipt and these postings, as an application that lies would. Returns its position. */
  async function forge(
    client: pg.Client,
    rows: Row[],
    more: (set: WriteSet, pos: number) => void = () => undefined,
    atUs = 0n,
  ): Promise<number> {
    const pos = await headNow(client);
    const set = emptyWriteSet();
    set.receiptStream.push('raw:1');
    set.receiptSeq.push(pos + 1);
    set.receiptOwner.push(null);
    set.receiptPayload.push(`{"raw":${pos}}`);
    set.principal.push('raw');
    set.key.push(`raw-${pos}`);
    set.fingerprint.push(Buffer.alloc(32));
    set.answer.push('{}');
    rows.forEach(({ kind, asset, debit, credit, amount, expires, hold, place }, ord) => {
      set.postingPos.push(pos + place);
      set.postingOrd.push(ord);
      set.kind.push(kind);
      set.asset.push(asset);
      set.debit.push(debit);
      set.credit.push(credit);
      set.amount.push(amount);
      set.expiresUs.push(expires);
      set.holdPos.push(hold);
      set.holdOrd.push(hold === null ? null : 0);
    });
    more(set, pos);
    const move = {
      shard,
      expectedHead: pos,
      head: pos + 1,
      frontier: fakeFrontier(pos + 1),
      root: Buffer.alloc(32),
      atUs,
    };
    const {
      rows: [answer],
    } = await client.query({ ...STATEMENTS.commit, values: commitParameters(move, set) });
    assert.equal(answer.won, 1, 'the attack reached the tables');
    return pos;
  }

  async function committed(rows: Row[], more?: (set: WriteSet) => void): Promise<number> {
    return forge(clients['meter']!, rows, more);
  }

  /** Runs it in a transaction that is rolled back; the code it failed with, or 'accepted'. */
  async function codeOf(client: pg.Client, attempt: () => Promise<unknown>): Promise<string> {
    await client.query('begin');
    const code = await attempt()
      .then(() => client.query('set constraints all immediate'))
      .then(
        () => 'accepted',
        (error: { code: string; message: string }) => error.code ?? error.message,
      );
    await client.query('rollback');
    return code;
  }

  const POSTING_ATTACKS: [name: string, rows: Partial<Row>[], code: string][] = [
    ['all that is there', [{ amount: 1000n }], 'accepted'],
    ['[I-10] overdraft by one', [{ amount: 1001n }], CHECK],
    ['[I-10] a bad row hidden among good ones', [{ amount: 10n }, { amount: 10n }, { amount: 981n }], CHECK],
    [
      'money out and back in one statement nets',
      [{ amount: 1000n }, { debit: 'shop', credit: 'user', amount: 1000n }],
      'accepted',
    ],
    ['another asset on one side', [{ credit: 'cap' }], BALANCE],
    ['the wrong asset named on both sides', [{ asset: 'cap' }], BALANCE],
    ['[I-09] unknown account', [{ credit: 'nobody' }], BALANCE],
    ['negative amount', [{ amount: -5n }], CHECK],
    ['zero amount', [{ amount: 0n }], CHECK],
    ['to itself', [{ credit: 'user' }], CHECK],
    [
      'beyond 64 bit',
      [
        { debit: 'world', amount: 9n * 10n ** 18n },
        { debit: 'world', amount: 9n * 10n ** 18n },
      ],
      '22003',
    ],
    ['resolving what is no hold', [{ kind: 2, hold: 0 }], 'LG001'],
    ['resolving nothing', [{ kind: 2 }], CHECK],
    ['a void that moves money', [{ kind: 3, hold: 0, amount: 5n }], CHECK],
    ['an unknown kind', [{ kind: 4 }], CHECK],
    ["an expiry that is no hold's", [{ expires: 5n }], CHECK],
    ['a posting of an older receipt', [{ place: -1 }], DOOR],
    ['a posting of no receipt', [{ place: 1 }], DOOR],
  ];
  for (const role of ['api', 'meter']) {
    for (const [name, rows, code] of POSTING_ATTACKS) {
      test(`${role}, commit with forged postings: ${name} -> ${code}`, async () => {
        assert.equal(await codeOf(clients[role]!, () => forge(clients[role]!, rows.map(row))), code);
      });
    }
  }

  test('[I-11] holds: spent once, in part or whole, before they expire, between the same accounts', async () => {
    const meter = clients['meter']!;
    const hold = await committed([row({ kind: 1, amount: 600n, expires: 100n })]);
    const resolve = (more: Partial<Row>, atUs: bigint) =>
      codeOf(meter, () => forge(meter, [row({ hold, kind: 2, amount: 600n, ...more })], undefined, atUs));
    assert.equal(await codeOf(meter, () => forge(meter, [row({ amount: 401n })])), CHECK, 'the hold counts as spent');
    assert.equal(await resolve({}, 99n), 'accepted');
    assert.equal(await resolve({ amount: 601n }, 99n), 'LG001', 'more than held');
    assert.equal(await resolve({ credit: 'world' }, 99n), 'LG001', 'to another account');
    assert.equal(await resolve({}, 100n), 'LG001', 'at the instant of expiry');
    assert.equal(await resolve({ kind: 3, amount: 0n }, 500n), 'accepted', 'a void frees it at any time');
    await committed([row({ kind: 2, hold, amount: 250n })]);
    assert.equal(await resolve({ kind: 3, amount: 0n }, 99n), '23505', 'a second resolution');
    const twice = codeOf(meter, () =>
      forge(meter, [
        row({ kind: 1, amount: 5n }),
        row({ hold, kind: 2, amount: 1n }),
        row({ hold, kind: 2, amount: 1n }),
      ]),
    );
    assert.equal(await twice, '23505', 'twice in one statement');
    await committed([row({ debit: 'shop', credit: 'user', amount: 250n })]);
  });

  const FORGED: [name: string, more: (set: WriteSet, pos: number) => void, code: string][] = [
    [
      'a receipt too many',
      (set) => {
        set.receiptPayload.push('{}');
        set.receiptStream.push('raw:2');
        set.receiptSeq.push(1);
        set.receiptOwner.push(null);
      },
      DOOR,
    ],
    [
      'no receipt at all',
      (set) => {
        set.receiptPayload = [];
        set.receiptStream = [];
        set.receiptSeq = [];
        set.receiptOwner = [];
      },
      DOOR,
    ],
    [
      'no answer for the key',
      (set) => {
        set.principal = [];
        set.key = [];
        set.fingerprint = [];
        set.answer = [];
      },
      DOOR,
    ],
    [
      'a second receipt of the same place in its stream',
      (set, pos) => {
        set.receiptSeq = [pos];
      },
      '23505',
    ],
    [
      'work of a receipt that was written before',
      (set) => {
        set.outboxPos = [0];
        set.outboxOrd = [7];
        set.topic = ['x'];
        set.lane = [null];
        set.body = ['{}'];
      },
      DOOR,
    ],
    [
      'an account that exists',
      (set) => {
        set.account = ['user'];
        set.accountAsset = ['usd'];
        set.noOverdraft = [0];
      },
      '23505',
    ],
    [
      'a used id',
      (set) => {
        set.key = ['raw-0'];
      },
      'ERR_ASSERTION',
    ],
  ];
  for (const [name, more, code] of FORGED) {
    test(`[I-19] commit with forged rows: ${name} -> ${code}`, async () => {
      const api = clients['api']!;
      assert.equal(await codeOf(api, () => forge(api, [], more)), code);
    });
  }

  test('[I-19] a stream head does not go back, whoever asks', async () => {
    const meter = clients['meter']!;
    const head = (version: number, seq: number) => (set: WriteSet, pos: number) => {
      set.stream = ['raw:head'];
      set.streamOwner = [null];
      set.streamStatus = [null];
      set.version = [version];
      set.createdPos = [pos];
      set.streamPos = [pos];
      set.streamSeq = [seq];
      set.streamHash = [Buffer.alloc(32)];
      set.state = [`{"version":${version}}`];
    };
    await forge(meter, [], head(5, 5));
    assert.equal(await codeOf(meter, () => forge(meter, [], head(4, 6))), DOOR);
    assert.equal(await codeOf(meter, () => forge(meter, [], head(6, 5))), DOOR);
    assert.equal(await codeOf(meter, () => forge(meter, [], head(6, 6))), 'accepted');
  });

  const TABLES = [
    'shard',
    'receipt',
    'stream_head',
    'checkpoint',
    'tile_root',
    'account',
    'posting',
    'idempotency',
    'timer',
    'outbox',
    'consumer',
    'moment',
  ];
  const SQL_ATTACKS: string[] = [
    'update engine.account set credits_posted = credits_posted + 1',
    'update engine.account set no_overdraft = false',
    `insert into engine.account (shard, account, asset, credits_posted) values (0, 'mint', 'usd', 5)`,
    'insert into engine.posting select * from engine.posting',
    `insert into engine.receipt (shard, pos, stream, seq, payload) values (0, 0, 'raw:1', 1, 'x')`,
    'update engine.shard set head = head - 1',
    'update engine.shard set head = head + 1',
    ...TABLES.flatMap((table) => [
      `update engine.${table} set shard = shard`,
      `delete from engine.${table}`,
      `truncate engine.${table} cascade`,
    ]),
    'alter table engine.posting disable trigger all',
    'drop trigger move_balances on engine.posting',
    'alter table engine.account drop constraint no_overdraft',
    'set session_replication_role = replica',
    'set role tally_owner',
    'set role postgres',
    'create table engine.mine (a int)',
    'create function engine.mine() returns int language sql as $$ select 1 $$',
    `create or replace function engine.refuse() returns trigger language plpgsql as $$ begin return new; end $$`,
    'insert into engine.shard (shard) values (99)',
    'drop schema engine cascade',
  ];
  for (const role of ['api', 'meter']) {
    for (const sql of SQL_ATTACKS) {
      test(`[I-34] as ${role}: ${sql.slice(0, 70)}`, async () => {
        const code = await codeOf(clients[role]!, () => clients[role]!.query(sql));
        assert.equal(code, DENIED);
      });
    }
  }

  const OF_THE_METER = [
    `select engine.note_moment(0::smallint, 'x', 1)`,
    'select * from engine.timer',
    'select * from engine.outbox',
    `select engine.take_outbox(0::smallint, '{x}', 1, 1, '00000000-0000-0000-0000-000000000000', 1)`,
    `select engine.settle_outbox(0::smallint, 0, 0::smallint, '00000000-0000-0000-0000-000000000000')`,
    `select engine.postpone_outbox(0::smallint, 0, 0::smallint, '00000000-0000-0000-0000-000000000000', 1, '')`,
  ];
  for (const sql of OF_THE_METER) {
    test(`[I-34] the meter may, the api may not: ${sql.slice(0, 60)}`, async () => {
      assert.equal(await codeOf(clients['api']!, () => clients['api']!.query(sql)), DENIED);
      assert.equal(await codeOf(clients['meter']!, () => clients['meter']!.query(sql)), 'accepted');
    });
  }

  const OWNER_ATTACKS: [sql: string, code: string][] = [
    ...['posting', 'receipt', 'tile_root', 'idempotency'].flatMap((table): [string, string][] => [
      [`update engine.${table} set shard = shard`, 'LG002'],
      [`delete from engine.${table}`, 'LG002'],
      [`truncate engine.${table} cascade`, 'LG002'],
    ]),
    ...['checkpoint', 'account', 'stream_head', 'shard'].flatMap((table): [string, string][] => [
      [`delete from engine.${table}`, 'LG002'],
      [`truncate engine.${table} cascade`, 'LG002'],
    ]),
    [`update engine.checkpoint set root = '\\x00'`, 'LG008'],
    [`update engine.checkpoint set note = 'signed, really'`, 'LG008'],
    [
      `update engine.shard set head = head - 1, frontier = decode(repeat('00', 32 * bit_count((head - 1)::bit(64))::int), 'hex') where head > 1`,
      'LG007',
    ],
    [
      `update engine.shard set head = head + 1, frontier = decode(repeat('00', 32 * bit_count((head + 1)::bit(64))::int), 'hex')`,
      'LG007',
    ],
    [`update engine.shard set at_us = at_us - 1`, 'LG007'],
    [`update engine.shard set frontier = '\\x00'`, CHECK],
    [
      `insert into engine.receipt (shard, pos, stream, seq, payload) select shard, head, 'raw:9', 9, 'x' from engine.shard`,
      'LG005',
    ],
    [
      `insert into engine.receipt (shard, pos, stream, seq, payload) select shard, head + 1, 'raw:9', 9, 'x' from engine.shard`,
      'LG005',
    ],
    [
      `insert into engine.posting (shard, pos, ord, kind, asset, debit, credit, amount, at_us)
      select max(shard), 0, 9, 0, 'usd', 'world', 'user', 5, 0 from engine.shard where head > 0`,
      'LG006',
    ],
    [`update engine.account set debits_posted = credits_posted + 1 where no_overdraft`, CHECK],
  ];
  for (const [sql, code] of OWNER_ATTACKS) {
    test(`[I-19] even the owner of the tables: ${sql.slice(0, 70).replace(/\s+/g, ' ')} -> ${code}`, async () => {
      const owner = clients['owner']!;
      const attempt = async (): Promise<void> => {
        await owner.query('set local role tally_owner');
        await owner.query(sql);
      };
      assert.equal(await codeOf(owner, attempt), code);
    });
  }

  test('[I-09] the trial balance is zero after all of it', async () => {
    const { rows } = await clients['api']!.query(
      `select sum(debits_posted - credits_posted) as posted, sum(debits_pending - credits_pending) as held from engine.account where shard = $1`,
      [shard],
    );
    assert.deepEqual([Number(rows[0].posted), Number(rows[0].held)], [0, 0]);
  });
});
