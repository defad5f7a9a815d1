/** `tally quotes` before and after a payment: what is asked, then what was paid. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { openTerminal } from './testing/terminal.ts';

const ID = `quo_${'1'.repeat(32)}`;
const STEPS = [
  { amount_micros: 50_000, label: 'minimum' },
  { amount_micros: 1_200_000, label: 'runway_6h' },
];
const quote = (status: string, amount: number, options = STEPS) => ({
  ...{ id: ID, principal: 'eip155:1:0x1', status, idempotency_key: 'mine', round: 0, options, network: 'eip155:1' },
  ...{ token: '0x2', pay_to: '0x3', auth_nonce: '0x4', expires_at: '2026-11-21T10:00:00.000Z', amount_micros: amount },
  ...{ payer: '', tx: '', deposit_id: '', receipt_id: '' },
});

async function told(answer: unknown, ...argv: string[]): Promise<string> {
  await using terminal = await openTerminal('http://127.0.0.1:9');
  terminal.env['TALLY_API_KEY'] = 'tly_test';
  const { code, out, err } = await terminal.runWith({ fetch: async () => Response.json(answer) }, ...argv);
  assert.equal(code, 0, err);
  return out;
}

const ROWS: [quote: object, amount: string][] = [
  [quote('open', 0), 'asks $0.05 to $1.20'],
  [quote('open', 0, STEPS.slice(0, 1)), 'asks $0.05'],
  [quote('lapsed', 0), 'asks $0.05 to $1.20'],
  [quote('signed', 1_200_000), '$1.20'],
  [quote('paid', 50_000), '$0.05'],
];
for (const [one, amount] of ROWS)
  test(`a list of quotes tells ${amount}`, async () => {
    const out = await told({ quotes: [one], next_page_token: '' }, 'quotes', 'list');
    const row = out.split('\n')[1]!;
    assert.ok(row.split(/ {2,}/).includes(amount), out);
  });

test('one quote tells its options, and an amount only when there is a payment', async () => {
  const open = await told(quote('open', 0), 'quotes', 'get', ID);
  assert.match(open, /^options +\$0\.05 \(minimum\), \$1\.20 \(runway_6h\)$/m);
  assert.doesNotMatch(open, /^amount/m);
  assert.match(await told(quote('paid', 50_000), 'quotes', 'get', ID), /^amount +\$0\.05$/m);
  const { options, amount_micros } = JSON.parse(await told(quote('open', 0), 'quotes', 'get', ID, '--json'));
  assert.deepEqual([options, amount_micros], [STEPS, 0]);
});
