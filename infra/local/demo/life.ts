/**
 * One agent's life through the public SDK, step by step.
 * Promise: every figure comes from the platform's answers, the machine's own output or the verifier.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Balance,
  type Clamp,
  type Job as JobMessage,
  type Sandbox as SandboxMessage,
  SandboxStatus,
} from '@tallystick/proto';
import { connect, type Job, login, type Sandbox, signerOfPrivateKey, type Tally } from '@tallystick/sdk';
import { measureFolder } from './measure.ts';
import { withMoreBudget } from './more-budget.ts';
import type { Narrator } from './narrator.ts';
import { msOf, reasonWord, timeText, usd } from './text.ts';
import { startTicker, type Ticker, type TickerState } from './ticker.ts';
import { type Verification, verifyExport } from './verification.ts';
import { doWork, type Work } from './work.ts';

const PRIVATE_KEY_BYTES = 32;
const RAM_MIB = 1_024;
const CPU_MILLIS = 1_000;
const DISK_MIB_MIN = 256;
const MIB = 1_048_576;
const LOOK_EVERY_MS = 250;
/** The sandbox must have ended so long after its money did, or something is wrong. */
const END_MS_MAX = 180_000;
const DEPOSIT_PER_BUDGET = 2n;
const TTL_ASKED_MS = 7n * 86_400_000n;

export interface LifeOptions {
  url: string;
  budgetMicros: bigint;
  /** Work that takes longer gets more budget. */
  mayExtend: boolean;
  quantumMs: bigint;
  input: string;
  outputFolder: string;
  say: Narrator;
}

export interface Life {
  wallet: string;
  job: JobMessage;
  sandbox: SandboxMessage;
  balance: Balance;
  work: Work | undefined;
  ticker: TickerState;
  verification: Verification;
  export: string;
  /** What was claimed and did not hold; empty when all is well. */
  failures: string[];
}

export async function liveOneLife(options: LifeOptions): Promise<Life> {
  const { say } = options;
  mkdirSync(options.outputFolder, { recursive: true, mode: 0o700 });
  const { tally, wallet } = await begin(options);
  await receiveMoney(tally, options);
  const { job, sandbox } = await buyMachine(tally, options);
  say.chapter(`Real work on real input: ${options.input}`);
  const work = await worked(tally, { job, sandbox }, options).catch((fault: Error) => {
    say.bad(`the work was not finished: ${fault.message}`);
    return undefined;
  });
  const { ended, ticker } = await burnToTheEnd(sandbox, options);
  const { verification, path } = await exportAndVerify(tally, options);
  const balance = await tally.balance();
  const life = { wallet, job: await job.refresh(), sandbox: ended, balance, work, ticker, verification, export: path };
  return { ...life, failures: failuresOf(life) };
}

function worked(tally: Tally, bought: { job: Job; sandbox: Sandbox }, options: LifeOptions): Promise<Work> {
  const work = () => doWork(bought.sandbox, options);
  if (!options.mayExtend) return work();
  return withMoreBudget({ tally, ...bought, stepMicros: options.budgetMicros / 2n, say: options.say }, work);
}

async function begin({ url, say }: LifeOptions): Promise<{ tally: Tally; wallet: string }> {
  say.chapter('A brand-new wallet logs in');
  const signer = signerOfPrivateKey(randomBytes(PRIVATE_KEY_BYTES));
  const key = await login({ baseUrl: url, signer, label: 'demo' });
  say.good(`wallet ${signer.address} signed in with its own signature (EIP-4361)`);
  say.good(`API key ${key.id} with ${key.scopes.length} scopes`);
  return { tally: connect({ baseUrl: url, apiKey: key.secret }), wallet: signer.address };
}

async function receiveMoney(tally: Tally, { budgetMicros, say }: LifeOptions): Promise<void> {
  say.chapter('It receives money and reads its balance');
  const deposit = await tally.depositDevelopment(budgetMicros * DEPOSIT_PER_BUDGET);
  say.good(`${usd(deposit.amountMicros)} arrived on ${deposit.source} and was credited, receipt ${deposit.receiptId}`);
  say.good(`balance ${usd((await tally.balance()).balanceMicros)}`);
}

async function buyMachine(tally: Tally, options: LifeOptions): Promise<{ job: Job; sandbox: Sandbox }> {
  const { budgetMicros, quantumMs, input, say } = options;
  say.chapter('It opens a job with a budget and buys a machine');
  const job = await tally.jobs.create({ label: 'demo', maxTotalSpendMicros: budgetMicros });
  say.good(`job ${job.id} may spend ${usd(job.state.maxTotalSpendMicros)}`);
  const { bytes, files } = await measureFolder(input);
  say.line(`the input has ${files} files, ${mib(bytes)}`);
  const diskMib = Math.max(DISK_MIB_MIN, Math.ceil((bytes / MIB) * 1.25) + DISK_MIB_MIN);
  const sandbox = await job.sandboxes.create({
    cpuMillis: CPU_MILLIS,
    ramMib: RAM_MIB,
    diskMib,
    quantumMs,
    ttlMs: TTL_ASKED_MS, // more than the job has left, to show what clamps it
  });
  const state = sandbox.state!;
  say.good(`sandbox ${sandbox.id}: ${state.image}, isolation ${state.isolation}`);
  for (const clamp of [...job.state.clamps, ...state.clamps]) say.line(clampText(clamp));
  say.good(
    `${usd(state.priceMicrosPerMinute)} a minute; sold in steps of ${state.quantumMs} ms at ${usd(state.priceMicrosPerQuantum)}`,
  );
  return { job, sandbox };
}

const clampText = ({ field, requested, effective, rule }: Clamp): string =>
  `${field.padEnd(24)} requested ${requested}, effective ${effective}${rule === '' ? '' : `, clamped by ${rule}`}`;

const mib = (bytes: number): string => `${(bytes / MIB).toFixed(1)} MiB`;

async function burnToTheEnd(
  sandbox: Sandbox,
  { say }: LifeOptions,
): Promise<{ ended: SandboxMessage; ticker: TickerState }> {
  say.chapter('Minutes are sold ahead while a ticker runs; then the budget ends');
  const ticker = startTicker(sandbox);
  for (let lastSold = 0n; ; await sleep(LOOK_EVERY_MS)) {
    const state = await sandbox.refresh();
    if (state.minutesSold !== lastSold) say.progress(burnText(state, ticker.state.ticks));
    lastSold = state.minutesSold;
    if (state.status === SandboxStatus.ENDED) return { ended: state, ticker: await told(state, ticker, say) };
    if (Date.now() > msOf(state.paidUntil) + END_MS_MAX) {
      throw new Error(`the sandbox has not ended ${END_MS_MAX} ms after its paid time`);
    }
  }
}

const burnText = (state: SandboxMessage, ticks: number): string =>
  `${state.minutesSold} minutes sold for ${usd(state.spentMicros)}, paid until ${timeText(state.paidUntil)}, ${ticks} ticks inside`;

async function told(state: SandboxMessage, ticker: Ticker, say: Narrator): Promise<TickerState> {
  const ticks = await ticker.stop();
  say.good(`${state.minutesSold} minutes sold for ${usd(state.spentMicros)}; none after the budget ended`);
  say.good(
    `paid until ${timeText(state.paidUntil)}, stopped by its own warden at ${timeText(state.stoppedAt)}: ${reasonWord(state.stopReason)}`,
  );
  if (ticks.lastTickMs !== undefined) {
    say.good(
      `the ticker's last tick inside: ${timeText(ticks.lastTickMs)}, ${Math.round(msOf(state.paidUntil) - ticks.lastTickMs)} ms before the end of the paid time`,
    );
  }
  return ticks;
}

async function exportAndVerify(
  tally: Tally,
  { outputFolder, say }: LifeOptions,
): Promise<{ verification: Verification; path: string }> {
  say.chapter('Every receipt is exported and verified offline');
  const path = join(outputFolder, 'receipts.jsonl');
  const { bytes } = await tally.receipts.export(path);
  say.good(`${bytes} bytes written to ${path}`);
  const verification = await verifyExport(path);
  const { report, tampered } = verification;
  const claim = `tally verify, a process of its own: ${report.receipts} receipts, ${report.tickets} run tickets, signatures, inclusion, chains, replay, trial balance`;
  if (report.ok) say.good(claim);
  else for (const { what } of report.problems) say.bad(what);
  if (tampered.ok) say.bad('one flipped byte was not noticed');
  else say.good(`one flipped byte (${tampered.where}) makes it fail: ${tampered.says}`);
  return { verification, path };
}

/** The claims of this demo, each checked against what was measured. */
function failuresOf(life: Omit<Life, 'failures'>): string[] {
  const { balance, sandbox, ticker, verification, work } = life;
  const paidUntilMs = msOf(sandbox.paidUntil);
  const claims: [boolean, string][] = [
    [work !== undefined, 'the work was finished within the budget'],
    [balance.depositedMicros === balance.balanceMicros + balance.spentMicros, 'deposited = balance + spent'],
    [
      ticker.lastTickMs === undefined || ticker.lastTickMs <= paidUntilMs,
      'the last tick is not later than the paid end',
    ],
    [
      sandbox.stoppedAt !== undefined && msOf(sandbox.stoppedAt) <= paidUntilMs,
      'the machine stopped within its paid time',
    ],
    [life.job.spentMicros <= life.job.maxTotalSpendMicros, 'the job spent no more than its cap'],
    [verification.report.ok, 'the export verifies'],
    [!verification.tampered.ok, 'a flipped byte is noticed'],
  ];
  return claims.filter(([holds]) => !holds).map(([, claim]) => claim);
}
