/**
 * A new wallet's whole first hour, through the command line and, separately, through a client of the Model Context Protocol.
 * Promise: the programs that are shipped, a real machine, real transactions on the development chain, and the proof of all of it checked offline.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Hex } from 'viem';
import { bookProblems } from './harness/books.ts';
import { type ChainHand, chainOf } from './harness/chain.ts';
import { type CommandLine, commandLine, openTools, type Tools, type Value } from './harness/doors.ts';
import { type Platform, startPlatform, temporaryFolder } from './harness/platform.ts';
import { until } from './harness/until.ts';

const QUANTUM_MS = 2_000;
const DEPOSIT_MICROS = 50_000;
/** Two minutes and more of a small machine, ten seconds beside a large one. */
const BUDGET_MICROS = 200;
const FUND_MICROS = 3_000_000n;
const LIMIT_MICROS = 1_000_000n;
const END_MS_MAX = 90_000;
const SMALL = { cpu_millis: 500, ram_mib: 128, disk_mib: 32 };
const LARGE = { cpu_millis: 2_000, ram_mib: 1_024, disk_mib: 32 };
const flagsOf = ({ cpu_millis, ram_mib, disk_mib }: typeof SMALL): string[] => {
  const size = ['--cpu', String(cpu_millis), '--ram', String(ram_mib), '--disk', String(disk_mib)];
  return [...size, '--quantum', `${QUANTUM_MS}ms`];
};
/** Real work: counts the words of a text and writes down the commonest. */
const WORK = `tr -cs a-z '\\n' < work/text | sort | uniq -c | sort -rn | head -1 | awk '{print $2, $1}' | tee work/answer`;
const TEXT = 'a tally stick was split in two so that neither a debtor nor a creditor could change the count\n'.repeat(
  40,
);
const ANSWER = 'a 120\n';

/** What somebody does in their first hour, by whichever door. */
interface Door {
  deposit(): Promise<Value>;
  /** Id of a job with the budget. */
  job(): Promise<string>;
  sandbox(job: string, size?: typeof SMALL): Promise<string>;
  work(sandbox: string): Promise<string>;
  answer(sandbox: string): Promise<string>;
  state(sandbox: string): Promise<Value>;
  balance(): Promise<Value>;
  /** All of it, until it is there. */
  withdraw(micros: bigint): Promise<Value>;
  /** Writes everything that happened down and checks it without the platform. */
  proof(): Promise<Value>;
}

const idOf = (value: Value): string => String(value['id']);

const byCommandLine = ({ tally, folder }: CommandLine): Door => ({
  deposit: () => tally('deposit', `${DEPOSIT_MICROS}micros`),
  job: async () => idOf(await tally('job', 'create', '--budget', `${BUDGET_MICROS}micros`, '--label', 'first hour')),
  sandbox: async (job, size = SMALL) => idOf(await tally('sandbox', 'create', '--job', job, ...flagsOf(size))),
  async work(sandbox) {
    mkdirSync(join(folder, 'work'), { recursive: true });
    writeFileSync(join(folder, 'work', 'text'), TEXT);
    await tally('cp', 'work', `${sandbox}:work`);
    return String((await tally('exec', sandbox, '--', 'sh', '-c', WORK))['stdout']);
  },
  async answer(sandbox) {
    await tally('cp', `${sandbox}:work/answer`, 'answer');
    return readFileSync(join(folder, 'answer'), 'utf8');
  },
  state: (sandbox) => tally('sandbox', 'get', sandbox),
  balance: () => tally('balance'),
  withdraw: () => tally('withdraw', 'all', '--wait'),
  async proof() {
    await tally('receipts', 'export', 'all.jsonl');
    return tally('verify', 'all.jsonl');
  },
});

const byTools = ({ call }: Tools): Door => ({
  deposit: () => call('billing_deposit', { amount_micros: DEPOSIT_MICROS }),
  job: async () => idOf(await call('job_create', { max_total_spend_micros: BUDGET_MICROS, label: 'first hour' })),
  sandbox: async (job, size = SMALL) =>
    idOf(await call('sandbox_create', { job_id: job, ...size, quantum_ms: QUANTUM_MS })),
  async work(id) {
    await call('sandbox_upload', { id, path: 'work/text', content: TEXT });
    return String((await call('sandbox_exec', { id, argv: ['sh', '-c', WORK] }))['stdout']);
  },
  answer: async (id) => String((await call('sandbox_download', { id, path: 'work/answer' }))['content']),
  state: (id) => call('sandbox_get', { id }),
  balance: () => call('billing_balance'),
  async withdraw(micros) {
    const id = idOf(await call('billing_withdraw', { amount_micros: Number(micros) }));
    return until('it has arrived', async () => {
      const found = await call('billing_withdrawal', { id });
      return found['status'] === 'final' && found;
    });
  },
  async proof() {
    await call('receipts_export', { path: 'all.jsonl' });
    return call('receipts_verify', { path: 'all.jsonl' });
  },
});

const microsIn = (value: Value, name: string): bigint => BigInt(value[name] as number);

/** Money in, a machine bought, work done, and stopped by the budget with the rest still there. */
async function liveUntilBudgetEnds(door: Door): Promise<bigint> {
  assert.equal((await door.deposit())['amount_micros'], DEPOSIT_MICROS);
  const job = await door.job();
  const sandbox = await door.sandbox(job);
  assert.equal(await door.work(sandbox), ANSWER);
  assert.equal(await door.answer(sandbox), ANSWER);
  await door.sandbox(job, LARGE); // soon they have used the budget up
  const ended = await until(
    'the machine stopped on its budget',
    async () => {
      const state = await door.state(sandbox);
      return state['status'] === 'ended' && state;
    },
    END_MS_MAX,
  );
  assert.equal(ended['stop_reason'], 'job_cap');
  const balance = await door.balance();
  const [spent, left] = [microsIn(balance, 'spent_micros'), microsIn(balance, 'balance_micros')];
  assert.ok(spent > 0n && spent <= BigInt(BUDGET_MICROS), `${spent} of ${BUDGET_MICROS}`);
  assert.equal(left, BigInt(DEPOSIT_MICROS) - spent);
  return left;
}

/** The key of a plain login moves nothing out, and what it says leads on. */
async function allowWithdrawals(line: CommandLine): Promise<void> {
  const { code, facts, suggestion } = await line.refusal('withdraw', 'all');
  assert.deepEqual([code, (facts as Value)['missing']], ['scope_missing', ['billing:withdraw']]);
  assert.match(String(suggestion), /`tally login --withdraw`/);
  await line.tally('login', '--withdraw');
}

/** The rest arrives on the chain, at the wallet's own address, and nothing of it is left behind. */
async function takeOut(door: Door, chain: ChainHand, wallet: string, micros: bigint): Promise<void> {
  const { status, to, amount_micros, tx } = await door.withdraw(micros);
  assert.deepEqual([status, String(to).toLowerCase()], ['final', wallet.toLowerCase()]);
  assert.equal(BigInt(amount_micros as number), micros);
  assert.equal(await chain.dollarsOf(wallet), micros);
  assert.equal((await chain.client.getTransactionReceipt({ hash: tx as Hex })).status, 'success');
  const balance = await door.balance();
  assert.deepEqual([balance['balance_micros'], balance['withdrawn_micros']], [0, Number(micros)]);
}

async function assertProven(door: Door): Promise<void> {
  const { ok, problems, receipts } = await door.proof();
  assert.deepEqual([ok, problems], [true, []]);
  assert.ok(Number(receipts) > 10, `${receipts} receipts`);
}

/** The machine was paid for out of the wallet, once: what was paid is what was deposited. */
async function assertPaidFromWallet(line: CommandLine, chain: ChainHand, wallet: string): Promise<void> {
  const paid = FUND_MICROS - (await chain.dollarsOf(wallet));
  assert.ok(paid > 0n && paid <= LIMIT_MICROS, String(paid));
  assert.equal(microsIn(await line.tally('balance'), 'deposited_micros'), paid);
  const { payments } = (await line.tally('payments', 'list')) as { payments: Value[] };
  const found = payments.map(({ amount_micros, status }) => [BigInt(amount_micros as number), status]);
  assert.deepEqual(found, [[paid, 'settled']]);
}

describe('the first hour', { concurrency: 2 }, () => {
  const folders = Array.from({ length: 4 }, temporaryFolder);
  let platform: Platform;
  before(async () => {
    platform = await startPlatform({ quantumMs: QUANTUM_MS });
  });
  after(async () => {
    assert.deepEqual(await bookProblems(platform.folder), [], '[I-09] [I-10] the books');
    await platform[Symbol.asyncDispose]();
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  });

  test('[I-01] [I-05] [I-20] through the command line', async () => {
    const line = commandLine(platform, folders[0]!);
    const { address } = await line.tally('wallet', 'new');
    const { principal } = await line.tally('login');
    assert.equal(principal, `eip155:1:${String(address).toLowerCase()}`);
    const door = byCommandLine(line);
    const rest = await liveUntilBudgetEnds(door);
    await allowWithdrawals(line);
    await takeOut(door, chainOf(platform), String(address), rest);
    await line.tally('wallet', 'new', '--wallet', 'second.json');
    const second = await line.tally('payout-address', 'prove', '--wallet', 'second.json');
    assert.deepEqual([second['is_own'], second['is_usable']], [false, false], 'a day later');
    await assertProven(door);
  });

  test('[I-01] [I-05] [I-20] through a client of the model context protocol', async () => {
    const line = commandLine(platform, folders[1]!);
    await line.tally('login', '--new');
    const { address } = await line.tally('wallet', 'address');
    await using tools = await openTools(line);
    const door = byTools(tools);
    const rest = await liveUntilBudgetEnds(door);
    await allowWithdrawals(line);
    await takeOut(door, chainOf(platform), String(address), rest);
    await assertProven(door);
  });

  test('[I-15] [I-20] without a deposit, through the command line: a person allows what the wallet pays', async () => {
    const line = commandLine(platform, folders[2]!);
    const { address } = await line.tally('wallet', 'new');
    await line.tally('login');
    await line.tally('wallet', 'fund', '--amount', `${FUND_MICROS}micros`);
    const door = byCommandLine(line);
    const create = ['sandbox', 'create', '--job', await door.job(), ...flagsOf(SMALL)];
    const { code, facts } = await line.refusal(...create);
    assert.equal(code, 'payment_above_limit', 'at first the wallet pays nothing by itself');
    const { payment_id, idempotency_key } = facts as Record<string, string>;
    await line.tally('payments', 'approve', payment_id!, '--yes');
    const sandbox = idOf(await line.tally(...create, '--key', idempotency_key!));
    assert.equal(await door.work(sandbox), ANSWER);
    await assertPaidFromWallet(line, chainOf(platform), String(address));
    await assertProven(door);
  });

  test('[I-15] [I-20] without a deposit, through a client of the model context protocol: the wallet pays within its limits', async () => {
    const line = commandLine(platform, folders[3]!);
    await line.tally('login', '--new');
    const { address } = await line.tally('wallet', 'address');
    await line.tally(
      'wallet',
      'limits',
      '--per-payment',
      `${LIMIT_MICROS}micros`,
      '--per-day',
      `${LIMIT_MICROS}micros`,
    );
    await using tools = await openTools(line);
    await tools.call('billing_wallet_fund', { amount_micros: Number(FUND_MICROS) });
    const door = byTools(tools);
    assert.equal(await door.work(await door.sandbox(await door.job())), ANSWER);
    await assertPaidFromWallet(line, chainOf(platform), String(address));
    await assertProven(door);
  });
});
