/** `tally deposits` and `tally deposit`: what waits is told with its depth, what is parked with the command that takes it. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { openTerminal, type Said } from './testing/terminal.ts';

const ID = `dep_${'1'.repeat(32)}`;
const TX = `0x${'2'.repeat(64)}`;
const deposit = (status: string, confirmations?: number) => ({
  ...{ id: ID, principal: 'suspense', amount_micros: 50_000, status, network: 'eip155:1', tx: TX, payer: '0x3' },
  ...{ payee: '0x4', block: 7, seen_at: '2026-11-21T10:00:00.000Z', receipt_id: '', confirmations_needed: 3 },
  ...(confirmations === undefined ? {} : { confirmations }),
});

interface Heard extends Said {
  asked: string[];
}

async function hear(answer: () => Response, ...argv: string[]): Promise<Heard> {
  await using terminal = await openTerminal('http://127.0.0.1:9');
  terminal.env['TALLY_API_KEY'] = 'tly_test';
  const asked: string[] = [];
  const fetch = async (input: Parameters<typeof globalThis.fetch>[0]): Promise<Response> => {
    asked.push(new URL(String(input)).pathname);
    return answer();
  };
  return { ...(await terminal.runWith({ fetch }, ...argv)), asked };
}
const list = (one: object, ...more: string[]) =>
  hear(() => Response.json({ deposits: [one], next_page_token: '' }), 'deposits', 'list', ...more);

const ROWS: [one: object, confirmations: string][] = [
  [deposit('seen', 1), '1 of 3'],
  [deposit('seen', 2), '2 of 3'],
  [deposit('seen'), '? of 3'],
  [deposit('credited', 7), '7'],
];
for (const [one, confirmations] of ROWS)
  test(`a list of deposits tells ${confirmations}`, async () => {
    const { out, err } = await list(one);
    assert.ok(out.split('\n')[1]!.split(/ {2,}/).includes(confirmations), out);
    assert.equal(err, '');
  });

test('what is parked is told with the command that takes it; programs read it from the status', async () => {
  assert.match((await list(deposit('parked', 9))).err, new RegExp(`tally deposits claim ${ID}\n$`));
  const { out, err } = await list(deposit('parked', 9), '--json');
  assert.deepEqual([JSON.parse(out).deposits[0].status, err], ['parked', '']);
});

test('a claim takes an id or the hash of a transaction, and nothing else', async () => {
  const credited = { id: ID, principal: 'p', amount_micros: 5, source: 's', balance_micros: 5, receipt_id: '' };
  for (const named of [ID, TX]) {
    const { code, asked } = await hear(() => Response.json(credited), 'deposits', 'claim', named);
    assert.deepEqual([code, asked], [0, [`/v1/billing/deposits/${named}/claim`]]);
  }
  for (const named of ['dep_1', '0x12', 'sbx_1']) {
    const { code, err, asked } = await hear(() => Response.json({}), 'deposits', 'claim', named);
    assert.deepEqual([code, asked], [2, []]);
    assert.match(err, /neither the id of a deposit nor the hash/);
  }
});

test('development money that waits for blocks ends the command with how far it is and where to look', async () => {
  const problem = {
    ...{ type: 'urn:tallystick:problem:deposit_pending', title: 'Not yet.', status: 503, code: 'deposit_pending' },
    ...{ tx: TX, confirmations: 1, confirmations_needed: 3, retry_after_ms: 60_000, suggestion: 'tally deposits list' },
  };
  const { code, err, asked } = await hear(() => Response.json(problem, { status: 503 }), 'deposit', '$1');
  assert.equal(asked.length, 1, 'nobody waits for blocks by asking again');
  assert.equal(code, 3);
  for (const words of [TX, /confirmations 1$/m, /confirmations needed|confirmations_needed 3$/m, 'tally deposits list'])
    assert.match(err, new RegExp(words, 'm'), err);
});

const RESERVES = {
  ...{ network: 'eip155:1', token: '0x1', treasury: '0x2', block: 7, reserves: [], is_equal: true, own_micros: 0 },
  withdrawals_stopped: false,
};
const CHECK = { block: 5, is_equal: true, missing_micros: 0, receipt_id: '' };
const [SINCE, RECORDED, LOOKED] = [15, 16, 17].map((hour) => `2026-11-21T${hour}:00:00Z`);
const checked = { ...RESERVES, last_check: { ...CHECK, since: SINCE, checked_at: RECORDED } };
const TEXTS: [what: string, reserves: object, text: RegExp][] = [
  ['nobody has looked', RESERVES, /^ledger and chain agree$/m],
  [
    'only what is on record',
    checked,
    new RegExp(`agree; on record since ${SINCE}: nothing missing .recorded ${RECORDED}:`),
  ],
  [
    'the last look',
    { ...checked, looked_at: LOOKED },
    new RegExp(`the platform itself looked last ${LOOKED}; on record`),
  ],
];
for (const [what, reserves, text] of TEXTS)
  test(`reserves say when the platform looked: ${what}`, async () =>
    assert.match((await hear(() => Response.json(reserves), 'reserves')).err, text));
