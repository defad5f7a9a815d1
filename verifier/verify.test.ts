/** Exports that are right pass; whatever is changed in them is found, and its place is said. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import {
  exportReceiptLine,
  exportTicketLine,
  type JsonObject,
  jcs,
  logVerifierOf,
  parseStrict,
  signCheckpoint,
} from '@tallystick/kernel';
import fc from 'fast-check';
import type { VerifyReport } from './report.ts';
import {
  ALICE,
  exportLines,
  LEASE_KEY,
  LOG_KEY,
  OTHER_LEASE_KEY,
  OTHER_LOG_KEY,
  SMALL_RULES,
  seal,
  smallWorld,
  ticketFor,
} from './testing.ts';
import { type VerifyOptions, verifyChunks, verifyExport } from './verify.ts';

const world = smallWorld();
let lines: string[];
/** Positions: 0 ledger, 1 account, 2 deposit, 3-7 minutes, 8 end, 9 refusal. Line of a position: +2. */
const FIRST_SALE_POS = 3;
const RECEIPTS = world.receipts.length;
const FIRST_TICKET_LINE = RECEIPTS + 2;

before(async () => {
  lines = await exportLines(world);
});

async function* chunked(bytes: Buffer, chunkBytes = 64 * 1024): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
}

const verify = (
  content: string[] | Buffer,
  options: VerifyOptions = {},
  chunkBytes?: number,
): Promise<VerifyReport> => {
  const bytes = Array.isArray(content) ? Buffer.from(content.join('')) : content;
  return verifyChunks(chunked(bytes, chunkBytes), { rules: SMALL_RULES, ...options });
};

const edit = (line: number, change: (value: JsonObject) => JsonObject): string[] =>
  lines.map((text, i) => (i === line - 1 ? `${jcs(change(parseStrict(text.trimEnd()) as JsonObject))}\n` : text));

/** The receipt at a position, forged: other content, still canonical, still under the old proof. */
const forge = (pos: number, change: (receipt: JsonObject) => JsonObject): string[] =>
  edit(pos + 2, (line) => ({ ...line, receipt: jcs(change(parseStrict(String(line['receipt'])) as JsonObject)) }));

function assertFound(report: VerifyReport, line: number, what: RegExp): void {
  assert.equal(report.ok, false);
  const found = report.problems.some((problem) => problem.line === line && what.test(problem.what));
  assert.ok(found, `no problem ${what} on line ${line} in ${JSON.stringify(report.problems, null, 1)}`);
}

describe('a right export', () => {
  test('of the whole log passes, with counts and a trial balance of zero', async () => {
    const report = await verify(lines);
    assert.deepEqual(report, {
      ok: true,
      is_export: true,
      receipts: RECEIPTS,
      redecided: RECEIPTS,
      streams: 4,
      tickets: 5,
      checkpoint: { origin: 'memory', size: RECEIPTS },
      log_verifier: logVerifierOf(LOG_KEY),
      pinned: false,
      owner: null,
      trial_balance: [{ asset: 'usd', sum_micros: '0' }],
      problems: [],
      problems_total: 0,
    });
  });

  test('of one owner passes without what the others did', async () => {
    const report = await verify(await exportLines(world, { owner: ALICE }));
    assert.deepEqual(report.problems, []);
    assert.deepEqual([report.owner, report.receipts, report.redecided, report.tickets], [ALICE, 8, 8, 5]);
  });

  test('passes from a file, under a pinned key, in chunks of any size', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tally-verify-'));
    try {
      await writeFile(join(folder, 'export.jsonl'), lines.join(''));
      const options = { rules: SMALL_RULES, expectedLogVerifier: logVerifierOf(LOG_KEY) };
      const report = await verifyExport(join(folder, 'export.jsonl'), options);
      assert.deepEqual([report.ok, report.pinned], [true, true]);
      await assert.rejects(verifyExport(join(folder, 'missing.jsonl'), options), /ENOENT/);
    } finally {
      await rm(folder, { recursive: true });
    }
    for (const chunkBytes of [1, 7, 1000]) assert.equal((await verify(lines, {}, chunkBytes)).ok, true);
  });
});

describe('bytes', () => {
  test('[I-20] one flipped bit anywhere is found and its line said', async () => {
    const bytes = Buffer.from(lines.join(''));
    const lineAt = (offset: number): number => bytes.subarray(0, offset).filter((byte) => byte === 0x0a).length + 1;
    const place = fc.record({ offset: fc.nat(bytes.length - 1), bit: fc.nat(7) });
    await fc.assert(
      fc.asyncProperty(place, async ({ offset, bit }) => {
        const flipped = Buffer.from(bytes);
        flipped[offset]! ^= 1 << bit;
        const report = await verify(flipped);
        assert.equal(report.ok, false);
        const named = report.problems.map(({ line }) => line);
        assert.ok(named.includes(lineAt(offset)), `offset ${offset} bit ${bit}: ${JSON.stringify(report.problems)}`);
      }),
      { numRuns: 400 },
    );
  });

  test('[I-20] a file cut at any byte is found', async () => {
    const bytes = Buffer.from(lines.join(''));
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), async (length) => {
        assert.equal((await verify(bytes.subarray(0, length))).ok, false);
      }),
      { numRuns: 100 },
    );
  });

  const changes: [string, (all: string[]) => string[], number, RegExp][] = [
    ['an empty file', () => [], 1, /the file is empty/],
    ['no header', (all) => all.slice(1), 1, /receipt line stands where the header must/],
    ['a second header', (all) => [...all.slice(0, 2), all[0]!, ...all.slice(2)], 3, /second header/],
    ['no end line', (all) => all.slice(0, -1), 17, /end line is missing/],
    ['a line after the end', (all) => [...all, all[1]!], 18, /follows the end line/],
    ['a removed line under the old end', (all) => all.toSpliced(4, 1), 16, /bytes before differ/],
    [
      'an unknown kind of line',
      (all) => seal(all.toSpliced(3, 0, '{"a":1}\n')),
      4,
      /no header, receipt, ticket or end/,
    ],
    ['a space', (all) => seal(all.with(3, all[3]!.replace('{"pos"', '{ "pos"'))), 4, /not canonical, offset 1/],
    ['a float', (all) => seal(all.with(3, all[3]!.replace('"pos":2', '"pos":2.5'))), 4, /not an integer/],
    ['a key twice', (all) => seal(all.with(3, all[3]!.replace('{"pos":2', '{"pos":2,"pos":2'))), 4, /duplicate key/],
    ['an unknown member', (all) => seal(all.with(3, all[3]!.replace('{"pos"', '{"a":1,"pos"'))), 4, /a is unknown/],
    ['a line without end', (all) => [`${'x'.repeat(5 * 1024 * 1024)}`, ...all], 1, /too long/],
  ];
  for (const [name, change, line, what] of changes)
    test(`${name} is found`, async () => assertFound(await verify(change(lines)), line, what));
});

describe('the log', () => {
  const another = { size: RECEIPTS, root: Buffer.alloc(32, 9) };
  const rows: [string, () => string[] | Promise<string[]>, number, RegExp][] = [
    [
      'a checkpoint of another root',
      () => edit(1, (h) => ({ ...h, checkpoint: signCheckpoint(LOG_KEY, another) })),
      2,
      /does not lead/,
    ],
    [
      'a checkpoint of another key',
      () => edit(1, (h) => ({ ...h, checkpoint: signCheckpoint(OTHER_LOG_KEY, another) })),
      1,
      /not signed by the log key/,
    ],
    [
      'a forged note signature',
      () => edit(1, (h) => ({ ...h, checkpoint: String(h['checkpoint']).replace(/.{6}=?\n$/, 'AAAAAA\n') })),
      1,
      /not signed by the log key/,
    ],
    ['another size', () => edit(1, (h) => ({ ...h, size: 9 })), 1, /checkpoint signs size 10, the header says 9/],
    ['another origin', () => edit(1, (h) => ({ ...h, origin: 'else' })), 1, /origin is else/],
    ['a malformed verifier key', () => edit(1, (h) => ({ ...h, log_verifier: 'memory+00+AA' })), 1, /log_verifier/],
    [
      'another policy',
      () => edit(1, (h) => ({ ...h, policy: { version: '0', hash: 'a'.repeat(64) } })),
      1,
      /exported under policy 0/,
    ],
    [
      'a lease key whose id does not fit',
      () =>
        edit(1, (h) => ({ ...h, lease_keys: [{ keyid: 'x', public_key: LEASE_KEY.publicKey.toString('base64') }] })),
      1,
      /does not fit the key/,
    ],
    ['a removed receipt', () => lines.toSpliced(4, 1), 5, /receipts are missing/],
    [
      'a removed last receipt',
      () => lines.toSpliced(RECEIPTS, 1),
      16,
      /has 10 receipts, the export ends at position 8/,
    ],
    ['swapped receipts', () => lines.with(4, lines[5]!).with(5, lines[4]!), 6, /out of order or twice/],
    ['a receipt twice', () => lines.toSpliced(5, 0, lines[4]!), 6, /out of order or twice/],
    ['another position', () => edit(5, (l) => ({ ...l, pos: 4 })), 5, /does not lead/],
    [
      'a proof hash left out',
      () => edit(5, (l) => ({ ...l, proof: (l['proof'] as string[]).slice(1) })),
      5,
      /does not lead/,
    ],
    [
      'a second spelling of a proof hash',
      () => edit(5, (l) => ({ ...l, proof: (l['proof'] as string[]).map((hash) => hash.replace(/=$/, '')) })),
      5,
      /does not lead/,
    ],
  ];
  for (const [name, change, line, what] of rows)
    test(`${name} is found`, async () => assertFound(await verify(seal(await change())), line, what));

  test('the log key of somebody else passes by itself, and fails when the key is pinned', async () => {
    const forged = await exportLines(world, { logKey: OTHER_LOG_KEY });
    assert.equal((await verify(forged)).ok, true);
    const pinned = await verify(forged, { expectedLogVerifier: logVerifierOf(LOG_KEY) });
    assertFound(pinned, 1, /log's key is .* expected/);
    assert.equal(pinned.pinned, false);
  });
});

describe('a forged receipt under an honest log', () => {
  for (const change of [{ salt: 'f'.repeat(32) }, { at_us: '1' }, { prev: 'a'.repeat(64) }])
    test(`${Object.keys(change)[0]} is found by the proof`, async () =>
      assertFound(await verify(seal(forge(5, (receipt) => ({ ...receipt, ...change })))), 7, /does not lead/));
});

/** The log's owner lies: proofs and signature are right, only replay can tell. */
describe('[I-21] a lie that the log itself signed', () => {
  type Edit = (receipt: JsonObject) => JsonObject;
  const rows: [string, number, Edit, RegExp][] = [
    [
      'a changed amount',
      5,
      (r) => ({ ...r, postings: (r['postings'] as JsonObject[]).map((p) => ({ ...p, amount_micros: '999' })) }),
      /\/postings\/0\/amount_micros is not what the rules give/,
    ],
    [
      'a changed payee',
      5,
      (r) => ({ ...r, postings: (r['postings'] as JsonObject[]).map((p) => ({ ...p, credit: 'provider:p' })) }),
      /\/postings\/0\/credit/,
    ],
    [
      'a changed balance seen',
      5,
      (r) => ({ ...r, seen: { streams: {}, accounts: { [`user:${ALICE}`]: '9999' } } }),
      /\/seen\/accounts.* is 9999, the account had 3000/,
    ],
    [
      'a changed state hash',
      5,
      (r) => ({ ...r, decision: { ...(r['decision'] as JsonObject), state_hash: 'a'.repeat(64) } }),
      /another state/,
    ],
    [
      'a sale that the rule refuses',
      9,
      (r) => ({ ...r, decision: { ...(r['decision'] as JsonObject), rejection: null, facts: null } }),
      /rejection is not what the rules give/,
    ],
    ['another owner', 5, (r) => ({ ...r, owner: 'mallory' }), /\/owner/],
    ['a broken chain', 5, (r) => ({ ...r, prev: 'a'.repeat(64) }), /\/prev is not the hash/],
    ['a skipped number', 5, (r) => ({ ...r, seq: 4 }), /\/seq is 4 after 2/],
    ['time that goes back', 5, (r) => ({ ...r, at_us: '1' }), /\/at_us goes back/],
    ['another issuer', 5, (r) => ({ ...r, issuer: 'else' }), /issued by else/],
    ['another policy', 5, (r) => ({ ...r, policy: { hash: 'a'.repeat(64), rule: 'price' } }), /another policy/],
    ['an unknown member', 5, (r) => ({ ...r, extra: 1 }), /extra is unknown/],
  ];
  for (const [name, pos, change, what] of rows)
    test(`${name} is found`, async () => {
      const receipts = world.receipts.with(pos, change(world.receipts[pos] as unknown as JsonObject) as never);
      assertFound(await verify(await exportLines({ ...world, receipts })), pos + 2, what);
    });

  test('replay stops at the first lie and says so, the other checks go on', async () => {
    const wrong = { ...(world.receipts[4] as unknown as JsonObject), seq: 9 };
    const report = await verify(await exportLines({ ...world, receipts: world.receipts.with(4, wrong as never) }));
    assertFound(report, 17, /replay stopped at line 6/);
    assert.equal(report.redecided, 5);
  });
});

describe('[I-02] a ticket', () => {
  const sale = world.receipts[FIRST_SALE_POS]!;
  const withTicket = (ticket: object): string[] =>
    seal(lines.with(FIRST_TICKET_LINE - 1, exportTicketLine(ticket as never)));
  const forgedTicket = (other: JsonObject, key = LEASE_KEY) => withTicket(ticketFor(sale, FIRST_SALE_POS, key, other));
  const right = ticketFor(sale, FIRST_SALE_POS, LEASE_KEY);
  const rows: [string, () => string[], RegExp][] = [
    [
      'with a later paid_until',
      () => forgedTicket({ paid_until_us: '99000000000' }),
      /paid_until_us is 99000000000, sold was/,
    ],
    ['with an earlier start', () => forgedTicket({ starts_at_us: '0' }), /starts_at_us is 0, sold was/],
    ['for another sandbox', () => forgedTicket({ sandbox: 'sbx_2' }), /sandbox is sbx_2/],
    ['for another life', () => forgedTicket({ incarnation: 2 }), /incarnation is 2/],
    ['for another job', () => forgedTicket({ job: 'job_2' }), /job is job_2/],
    ['for a later minute', () => forgedTicket({ seq: 2 }), /seq is 2/],
    ['for more minutes', () => forgedTicket({ minutes: 9 }), /minutes is 9, sold was 1/],
    ['that says it is the last', () => forgedTicket({ final: true }), /final is true/],
    ['at another price', () => forgedTicket({ price_micros: '1' }), /price_micros is 1/],
    ['without a sale', () => forgedTicket({ receipt_hash: 'a'.repeat(64) }), /no receipt of this export sold/],
    [
      'naming another receipt',
      () => forgedTicket({ receipt: 'rcp_000000000000700080000000000000aa' }),
      /its sale stands at position 3/,
    ],
    ['with an unknown member', () => forgedTicket({ extra: 1 }), /extra is unknown/],
    ['of another key', () => forgedTicket({}, OTHER_LEASE_KEY), /unknown key/],
    [
      'of another key under the name of the right one',
      () =>
        withTicket({
          ...right,
          signatures: [{ ...ticketFor(sale, 3, OTHER_LEASE_KEY).signatures[0]!, keyid: LEASE_KEY.id }],
        }),
      /not signed by the lease key/,
    ],
    ['of another type', () => withTicket({ ...right, payloadType: 'x' }), /not signed by the lease key/],
    ['without a signature', () => withTicket({ ...right, signatures: [] }), /has one signature/],
  ];
  for (const [name, change, what] of rows)
    test(`${name} is found`, async () => assertFound(await verify(change()), FIRST_TICKET_LINE, what));

  test('twice for one minute is found', async () => {
    const twice = seal(lines.toSpliced(FIRST_TICKET_LINE, 0, lines[FIRST_TICKET_LINE - 1]!));
    assertFound(await verify(twice), FIRST_TICKET_LINE + 1, /second ticket for minute 1/);
  });

  test('before its receipt is found', async () => {
    const early = seal(lines.toSpliced(1, 0, lines[FIRST_TICKET_LINE - 1]!));
    assertFound(await verify(early), 2, /no receipt of this export sold/);
  });
});

test('what does not begin as an export is told once, whatever follows', async () => {
  for (const file of [[], ['hello'], ['hello\n', 'world\n'], ['{\n', '  "a": 1\n', '}\n'], lines.slice(1)]) {
    const { ok, is_export, problems_total } = await verify(file);
    assert.deepEqual([ok, is_export, problems_total], [false, false, 1], JSON.stringify(file).slice(0, 80));
  }
});

test('problems are bounded, their number is not', async () => {
  const bad = exportReceiptLine(0, '{}', []);
  const report = await verify(seal([lines[0]!, ...Array.from({ length: 100 }, () => bad)]));
  assert.equal(report.problems.length, 50);
  assert.ok(report.problems_total > 100);
});
