/** `tally` as a payer: limits, a person who is asked, an agent who is refused, and what is left behind. */
import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { type FakePlatform, startFakePlatform } from '@tallystick/sdk/testing';
import { openMcp, type Structured } from '../testing/mcp.ts';
import { openTerminal, type Said, type TestTerminal } from '../testing/terminal.ts';

const PRICE = 1_000n;

interface Scene extends AsyncDisposable {
  fake: FakePlatform;
  terminal: TestTerminal;
  /** Runs a command line with --json. */
  say(...argv: string[]): Promise<{ code: number; value: Structured }>;
}

const answerOf = ({ code, out, err }: Said): Structured =>
  code === 0 ? JSON.parse(out) : (JSON.parse(err.trim().split('\n').at(-1)!) as { error: Structured }).error;

async function scene(): Promise<Scene> {
  const fake = await startFakePlatform();
  const terminal = await openTerminal(fake.url);
  const say = async (...argv: string[]) => {
    const said = await terminal.run(...argv, '--json');
    return { code: said.code, value: answerOf(said) };
  };
  assert.equal((await say('login', '--new')).code, 0);
  assert.equal((await say('wallet', 'fund', '--amount', '$10')).code, 0);
  fake.till.priceMicros = PRICE;
  return {
    fake,
    terminal,
    say,
    async [Symbol.asyncDispose]() {
      await terminal[Symbol.asyncDispose]();
      await fake[Symbol.asyncDispose]();
    },
  };
}

const BUY = ['job', 'create', '--budget', '1000micros'];
const factsOf = (value: Structured): Structured => value['facts'] as Structured;
const taken = ({ fake }: Scene): bigint[] => [...fake.till.taken.values()];
const listed = async ({ say }: Scene): Promise<Structured[]> =>
  (await say('payments', 'list')).value['payments'] as Structured[];

test('within its limits the wallet pays, says so, and keeps what it did for its owner alone', async () => {
  await using s = await scene();
  const { value: limits } = await s.say('wallet', 'limits', '--per-payment', '$1', '--per-day', '$5');
  assert.deepEqual([limits['per_payment_micros'], limits['per_day_micros']], [1_000_000, 5_000_000]);
  const { code, err } = await s.terminal.run(...BUY);
  assert.equal(code, 0, err);
  assert.match(err, /^paid \$0\.001 from the wallet \(0x[0-9a-f]{64} on eip155:31337\)$/m);
  const [payment, ...others] = await listed(s);
  assert.deepEqual([payment?.['status'], payment?.['amount_micros'], others], ['settled', Number(PRICE), []]);
  assert.equal(statSync(join(s.terminal.home, 'payments')).mode & 0o777, 0o700);
  assert.equal(statSync(join(s.terminal.home, 'limits.json')).mode & 0o777, 0o600);
});

test('which amount is preferred is one of the known ones, and what a development wallet gets has a default', async () => {
  await using s = await scene();
  const wrong = await s.terminal.run('wallet', 'limits', '--prefer', '12h');
  assert.equal(wrong.code, 2);
  assert.match(
    wrong.err,
    /--prefer <amount>' argument '12h' is invalid\. Allowed choices are smallest, 6h, 24h, floor\./,
  );
  for (const prefer of ['floor', 'smallest'])
    assert.equal((await s.say('wallet', 'limits', '--prefer', prefer)).value['prefer'], prefer);
  assert.equal((await s.say('wallet', 'fund')).value['balance_micros'], 20_000_000);
  assert.match((await s.terminal.run('wallet', 'fund', '--help')).out, /\(default: \$10\.00\)/);
});

test('[I-44] what the wallet does not hold is not signed, and leaves its limits as they were', async () => {
  await using s = await scene();
  await s.say('wallet', 'limits', '--per-payment', '$90', '--per-day', '$90');
  s.fake.till.priceMicros = 11_000_000n;
  const { code, value } = await s.say(...BUY, '--key', 'mine');
  assert.deepEqual([code, value['code']], [1, 'payment_declined']);
  assert.match(String(factsOf(value)['cause']), /^the wallet holds \$10\.00, and \$11\.00 is asked/);
  await s.say('wallet', 'fund', '--amount', '$1');
  assert.equal((await s.say(...BUY, '--key', 'mine')).code, 0);
  assert.deepEqual(taken(s), [11_000_000n]);
});

test('without limits nothing is paid where nobody can be asked; the refusal says what a person does', async () => {
  await using s = await scene();
  const { code, value } = await s.say(...BUY, '--key', 'mine');
  assert.deepEqual([code, value['code'], taken(s)], [1, 'payment_above_limit', []]);
  const { cap, cap_micros, asked_micros, available_micros, payment_id, idempotency_key } = factsOf(value);
  assert.deepEqual(
    [cap, cap_micros, asked_micros, available_micros, idempotency_key],
    ['per_payment', 0, Number(PRICE), 0, 'mine'],
  );
  assert.match(String(value['suggestion']), new RegExp(`tally payments approve ${payment_id}.*same key: mine`));
  const nobody = await s.say('payments', 'approve', String(payment_id));
  assert.deepEqual([nobody.code, nobody.value['code']], [2, 'usage']);
  const { err } = await s.terminal.run('payments', 'approve', String(payment_id), '--yes');
  assert.match(err, /^Repeat the call with the same key within (5m|4m5[0-9]s): mine$/m);
  const approved = await s.say('payments', 'approve', String(payment_id), '--yes');
  assert.deepEqual([approved.code, approved.value['status']], [0, 'signed']);
  assert.ok(!JSON.stringify(approved.value).includes('header'));
  delete s.terminal.env['TALLY_PASSPHRASE']; // signed by the person: the wallet is not needed any more
  assert.equal((await s.say(...BUY, '--key', 'mine')).code, 0);
  assert.deepEqual([taken(s), (await listed(s))[0]?.['status']], [[PRICE], 'settled']);
});

test('[I-44] nobody allows by mistake what the wallet does not hold: nothing is signed, and the day has as much left as before', async () => {
  await using s = await scene();
  s.fake.till.priceMicros = 50_000_000n;
  const id = String(factsOf((await s.say(...BUY, '--key', 'mine')).value)['payment_id']);
  const { code, value } = await s.say('payments', 'approve', id, '--yes');
  assert.deepEqual([code, value['code']], [1, 'payment_declined']);
  assert.match(String(factsOf(value)['cause']), /^the wallet holds \$10\.00, and \$50\.00 is asked: put dollars of/);
  assert.match(String(value['suggestion']), new RegExp(`allow ${id} again`));
  assert.deepEqual(
    (await listed(s)).map(({ status }) => status),
    ['refused'],
  );
  await s.say('wallet', 'fund', '--amount', '$40');
  const { err } = await s.terminal.run('payments', 'approve', id, '--yes');
  assert.doesNotMatch(err, /without knowing/);
  assert.equal((await s.say(...BUY, '--key', 'mine')).code, 0);
  assert.deepEqual(taken(s), [50_000_000n]);
});

test('where the platform does not say what the wallet holds, a payment is signed on a person’s word, and that is told', async () => {
  await using s = await scene();
  const idOf = async (key: string) =>
    String(factsOf((await s.say(...BUY, '--pay', 'ask', '--key', key)).value)['payment_id']);
  const [first, second] = [await idOf('first'), await idOf('second')];
  const { TALLY_URL = '' } = s.terminal.env;
  s.terminal.env['TALLY_URL'] = 'http://127.0.0.1:9'; // another platform: it gets to see no question and no key
  const elsewhere = await s.terminal.run('payments', 'approve', first, '--yes');
  s.terminal.env['TALLY_URL'] = TALLY_URL;
  await s.fake[Symbol.asyncDispose]();
  for (const said of [elsewhere, await s.terminal.run('payments', 'approve', second, '--yes')]) {
    assert.equal(said.code, 0, said.err);
    assert.match(said.err, /^Signed without knowing what the wallet holds: its platform was not heard\./m);
  }
  const again = await s.terminal.run('payments', 'approve', first, '--yes');
  assert.doesNotMatch(again.err, /without knowing/, 'it was signed before');
});

/** A keyboard on which somebody types this. */
function keyboard(text: string): Readable & { isTTY: boolean } {
  const typed = Object.assign(new PassThrough(), { isTTY: true });
  typed.write(text);
  return typed;
}

for (const [typed, code] of [
  ['y\n', 0],
  ['n\n', 1],
  ['\n', 1],
] as const)
  test(`a person is asked above the limits and answers ${JSON.stringify(typed)}`, async () => {
    await using s = await scene();
    const said = await s.terminal.runWith({ stdin: keyboard(typed) }, ...BUY);
    assert.equal(said.code, code, said.err);
    assert.match(said.err, /POST \/v1\/jobs needs \$0\.001 from your wallet, to 0xb{40} on eip155:31337/);
    assert.match(
      said.err,
      /\(above the limit for one payment: one payment \$0\.00, a day \$0\.00, left of it \$0\.00\)/,
    );
    assert.deepEqual(taken(s), code === 0 ? [PRICE] : []);
    if (code === 1) assert.match(said.err, /payment_declined/);
  });

const WISHES: [wish: string[], code: number, error: string | undefined][] = [
  [['--pay', 'yes'], 0, undefined],
  [['--pay', 'no'], 1, 'insufficient_funds'],
  [['--pay', 'ask'], 1, 'payment_above_limit'],
  [['--max-pay', '1000micros'], 0, undefined],
  [['--max-pay', '999micros'], 1, 'payment_above_limit'],
  [['--pay', 'yes', '--max-pay', '999micros'], 1, 'payment_above_limit'],
  [['--pay', 'perhaps'], 2, undefined],
];
describe('for one command', () => {
  let s: Scene;
  before(async () => {
    s = await scene();
  });
  after(() => s[Symbol.asyncDispose]());
  for (const [wish, code, error] of WISHES)
    test(wish.join(' '), async () => {
      const before = taken(s).length;
      const said = await s.terminal.run(...BUY, ...wish, '--json');
      assert.equal(said.code, code, said.err);
      if (error) assert.equal(answerOf(said)['code'], error);
      assert.equal(taken(s).length - before, code === 0 ? 1 : 0);
    });
});

test('--pay ask and --pay no hold within the limits too', async () => {
  await using s = await scene();
  await s.say('wallet', 'limits', '--per-payment', '$1', '--per-day', '$5');
  assert.equal((await s.say(...BUY, '--pay', 'no')).value['code'], 'insufficient_funds');
  assert.equal((await s.say(...BUY, '--pay', 'ask')).value['code'], 'payment_above_limit');
  assert.deepEqual(taken(s), []);
});

test('--pay ask tells the limits as they are, and which of them is in the way, if one is', async () => {
  await using s = await scene();
  await s.say('wallet', 'limits', '--per-payment', '$0.20', '--per-day', '$0.0015');
  const asked = await s.say(...BUY, '--pay', 'ask', '--key', 'first');
  const money = { asked_micros: 1_000, per_payment_micros: 200_000, per_day_micros: 1_500 };
  const told = ({ payment_id: _, quote_id: __, idempotency_key: ___, ...facts }: Structured) => facts;
  assert.deepEqual(told(factsOf(asked.value)), {
    ...{ cap: 'ask_always', cap_micros: 200_000, available_micros: 1_500, left_of_day_micros: 1_500, ...money },
  });
  assert.match(
    String(asked.value['suggestion']),
    /\(or leaves out --pay ask: the limits hold it\)\. Then repeat .* first$/,
  );
  const person = await s.terminal.runWith({ stdin: keyboard('y\n') }, ...BUY, '--pay', 'ask');
  assert.equal(person.code, 0, person.err);
  const limits = 'one payment \\$0\\.20, a day \\$0\\.0015, left of it \\$0\\.0015';
  assert.match(person.err, new RegExp(`\\(within the limits; you asked to be asked: ${limits}\\)`));
  const second = await s.say(...BUY, '--pay', 'ask', '--key', 'second');
  assert.deepEqual(told(factsOf(second.value)), {
    ...{ cap: 'per_day', cap_micros: 1_500, available_micros: 500, left_of_day_micros: 500, ...money },
  });
});

test('a platform that wants its money elsewhere one day is refused until its owner says so', async () => {
  await using s = await scene();
  await s.say('wallet', 'limits', '--per-payment', '$1', '--per-day', '$5');
  const pinned = (await s.say('wallet', 'limits')).value['payee'];
  assert.equal(pinned, `eip155:31337/0x${'a'.repeat(40)}/0x${'b'.repeat(40)}`, 'pinned at the login');
  s.fake.till.payTo = `0x${'c'.repeat(40)}`;
  const { code, value } = await s.say(...BUY);
  assert.deepEqual([code, value['code'], taken(s)], [1, 'payment_payee_refused', []]);
  const elsewhere = `eip155:31337/0x${'a'.repeat(40)}/0x${'c'.repeat(40)}`;
  assert.deepEqual([factsOf(value)['asked'], factsOf(value)['available']], [elsewhere, pinned]);
  const again = await s.terminal.run('login');
  assert.match(again.err, /wants payments elsewhere than before, at eip155:31337.*\n.*--repin/);
  assert.equal((await s.say(...BUY)).value['code'], 'payment_payee_refused', 'a login changes nothing about it');
  assert.equal((await s.say('wallet', 'limits', '--repin')).code, 0);
  assert.equal((await s.say(...BUY)).code, 0);
});

test('a platform at which nobody logged in is paid nothing, whatever key it is given, and is not pinned', async () => {
  await using s = await scene();
  await s.say('wallet', 'limits', '--per-payment', '$1', '--per-day', '$5');
  const evil = await startFakePlatform();
  evil.till.priceMicros = PRICE;
  s.terminal.env['TALLY_URL'] = evil.url;
  s.terminal.env['TALLY_API_KEY'] = evil.addKey();
  const { code, value } = await s.say(...BUY, '--pay', 'yes');
  assert.deepEqual([code, value['code'], [...evil.till.taken]], [1, 'payment_payee_refused', []]);
  assert.ok(String(value['suggestion']).includes(`tally login --url ${evil.url}`));
  assert.equal((await s.say('wallet', 'limits')).value['payee'], null);
  await evil[Symbol.asyncDispose]();
});

test('limits that two commands change at once are both there', async () => {
  await using s = await scene();
  const payees = Array.from({ length: 8 }, (_, n) => `eip155:1/0x${'a'.repeat(40)}/0x${String(n).repeat(40)}`);
  await Promise.all(payees.map((payee) => s.say('wallet', 'limits', '--allow', payee)));
  assert.deepEqual(((await s.say('wallet', 'limits')).value['allow'] as string[]).toSorted(), payees);
});

test('an offer for another account is refused', async () => {
  await using s = await scene();
  await s.say('wallet', 'limits', '--per-payment', '$1', '--per-day', '$5');
  s.fake.till.creditAccount = 'eip155:1:0xsomebodyelse';
  const { value } = await s.say(...BUY);
  assert.deepEqual([value['code'], factsOf(value)['cap']], ['payment_payee_refused', 'account']);
});

test('limits are read strictly, and a file that was not written here pays nothing', async () => {
  await using s = await scene();
  const { value } = await s.say('wallet', 'limits', '--allow', `EIP155:1/0x${'A'.repeat(40)}/0x${'d'.repeat(40)}`);
  assert.deepEqual(value['allow'], [`eip155:1/0x${'a'.repeat(40)}/0x${'d'.repeat(40)}`]);
  assert.equal((await s.terminal.run('wallet', 'limits', '--allow', 'everywhere')).code, 2);
  assert.equal((await s.terminal.run('wallet', 'limits', '--per-day', '5')).code, 2);
  for (const text of ['{', '{"per_payment_micros":"1.5"}', '{"allow":["everywhere"]}', '{"pinned":{"x":7}}']) {
    writeFileSync(join(s.terminal.home, 'limits.json'), text, { mode: 0o600 });
    assert.equal((await s.terminal.run(...BUY)).code, text.includes('pinned') ? 1 : 2, text);
  }
  assert.deepEqual(taken(s), []);
});

test('the wallet that logged in is the one that pays', async () => {
  await using s = await scene();
  assert.equal((await s.say('login', '--new', '--wallet', 'second.json')).code, 0);
  await s.say('wallet', 'fund', '--amount', '$1');
  const { value } = await s.say('wallet', 'address', '--wallet', 'second.json');
  assert.equal((await s.say(...BUY, '--pay', 'yes')).code, 0);
  const [slot] = [...s.fake.till.taken.keys()];
  assert.ok(slot?.toLowerCase().startsWith(String(value['address']).toLowerCase()));
});

test('development dollars come to the wallet and are seen there', async () => {
  await using s = await scene();
  assert.equal((await s.say('wallet', 'fund', '--amount', '$10')).value['balance_micros'], 20_000_000);
  await s.say(...BUY, '--pay', 'yes');
  assert.equal((await s.say('wallet', 'balance')).value['balance_micros'], 20_000_000 - Number(PRICE));
});

test('an agent over mcp pays within the limits and is told; above them a person allows it, and the repeat goes through', async () => {
  await using s = await scene();
  const { PATH = '' } = process.env;
  const passphrase = s.terminal.env['TALLY_PASSPHRASE']!;
  delete s.terminal.env['TALLY_PASSPHRASE']; // the agent has no wallet, only what a person signs
  await using mcp = await openMcp({ ...s.terminal.env, PATH });
  const asked = { max_total_spend_micros: 5, idempotency_key: 'of-the-agent' };
  const refused = await mcp.refusal('job_create', asked);
  assert.deepEqual(
    [refused['code'], refused['idempotency_key'], refused['status']],
    ['payment_above_limit', 'of-the-agent', 403],
  );
  assert.match(String(refused['suggestion']), new RegExp(`tally payments approve ${refused['payment_id']}`));
  s.terminal.env['TALLY_PASSPHRASE'] = passphrase;
  await s.say('payments', 'approve', String(refused['payment_id']), '--yes');
  const answer = await mcp.ask('job_create', asked);
  const paid = answer._meta?.['tallystick/payment'] as Structured;
  assert.deepEqual([paid['amount_micros'], paid['network']], [Number(PRICE), 'eip155:31337']);
  assert.deepEqual(taken(s), [PRICE]);
  await s.say('wallet', 'limits', '--per-payment', '$1', '--per-day', '$5');
  const closed = await mcp.refusal('job_create', { max_total_spend_micros: 5 });
  assert.equal(closed['code'], 'payment_declined');
  assert.match(String(closed['cause']), /passphrase/);
});

test('no header of a payment stands in what is told', async () => {
  await using s = await scene();
  await s.say(...BUY, '--key', 'mine');
  const told = [await s.terminal.run('payments', 'list'), await s.terminal.run('payments', 'list', '--json')];
  const [id] = (await listed(s)).map((one) => String(one['id']));
  const approved = await s.terminal.run('payments', 'approve', id!, '--yes', '--json');
  const book = readFileSync(join(s.terminal.home, 'payments', 'book-000000000002.json'), 'utf8');
  const { header } = (JSON.parse(book) as { intents: { header: string }[] }).intents[0]!;
  assert.ok(header.length > 100);
  for (const { out, err } of [...told, approved]) assert.ok(!`${out}${err}`.includes(header.slice(0, 60)));
});
