/**
 * A 402 paid and repeated, ours beside the stock x402 stack: the same public client, the same chain, in turns.
 * Promise: the whole way from the first request to the answer that was paid for; ours is on record, credited and receipted by then.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect, login, signerOfPrivateKey } from '@tallystick/sdk';
import { ExactEvmScheme } from '@x402/evm/exact/client';
import { wrapFetchWithPayment, x402Client } from '@x402/fetch';
import { toHex } from 'viem';
import { type PrivateKeyAccount, privateKeyToAccount } from 'viem/accounts';
import type { BenchResult } from '../run.ts';
import { median, quantile } from './measure.ts';
import { startStock } from './stock-x402.ts';

const UP_PROGRAM = fileURLToPath(new URL('../../infra/local/up.ts', import.meta.url));
const START_MS_MAX = 60_000;
const PRIVATE_KEY_BYTES = 32;
const MICROS = 100_000n;
const PURSE_MICROS = 1_000_000_000n;
const ROUNDS = 25;
const WARM_ROUNDS = 3;

export async function paidRetries(): Promise<Pick<BenchResult, 'figures' | 'table'>> {
  await using platform = await startPlatform();
  const [ownKey, relayerKey] = [randomBytes(PRIVATE_KEY_BYTES), randomBytes(PRIVATE_KEY_BYTES)];
  const payer = await wallet(platform.chainUrl, ownKey, false);
  const relayer = await wallet(platform.chainUrl, relayerKey, true);
  const key = await login({ baseUrl: platform.url, signer: signerOfPrivateKey(ownKey) });
  const { network, token } = await connect({ baseUrl: platform.url, apiKey: key.secret }).deposits.address();
  await using stock = await startStock({
    rpcUrl: platform.chainUrl,
    chainId: Number(network.split(':')[1]),
    ...{ token, tokenName: 'USD Coin', tokenVersion: '1' },
    ...{ payTo: relayer.address, relayer, micros: MICROS },
  });
  const paying = payingFetch(payer, network as `${string}:${string}`, token);
  const ours = (): Promise<Response> =>
    paying(`${platform.url}/v1/billing/top-up`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${key.secret}`,
        'content-type': 'application/json',
        'idempotency-key': randomUUID(),
      },
      body: JSON.stringify({ amount_micros: Number(MICROS) }),
    });
  const theirs = (): Promise<Response> => paying(stock.url, { method: 'POST' });
  return await compared(ours, theirs); // before the platform goes
}

async function compared(ours: () => Promise<Response>, theirs: () => Promise<Response>) {
  const [oursMs, theirsMs]: [number[], number[]] = [[], []];
  for (let round = -WARM_ROUNDS; round < ROUNDS; round += 1) {
    const [took, tookThere] = [await timed(ours), await timed(theirs)];
    if (round < 0) continue;
    oursMs.push(took);
    theirsMs.push(tookThere);
  }
  const [p50, stockP50] = [median(oursMs), median(theirsMs)];
  const row = (what: string, ms: number[]) => ({
    what,
    figure: `p50 ${median(ms).toFixed(0)} ms, p95 ${quantile(
      ms.toSorted((a, b) => a - b),
      0.95,
    ).toFixed(0)} ms`,
  });
  return {
    figures: { paid_retry_p50_ms: p50, stock_retry_p50_ms: stockP50, over_stock: p50 / stockP50 },
    table: [row('402, paid, credited, done', oursMs), row('the same with the stock x402 stack', theirsMs)],
  };
}

async function timed(ask: () => Promise<Response>): Promise<number> {
  const beforeMs = performance.now();
  const response = await ask();
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${response.status}: ${text}`);
  return performance.now() - beforeMs;
}

function payingFetch(signer: PrivateKeyAccount, network: `${string}:${string}`, asset: string): typeof fetch {
  const client = x402Client.fromConfig({
    schemes: [{ network, client: new ExactEvmScheme(signer) }],
    spendControls: { allowedAssets: [{ network, asset, maxAmountPerPayment: String(MICROS) }] },
  });
  return wrapFetchWithPayment(fetch, client);
}

/** The key's wallet, with dollars of the development chain. */
async function wallet(chainUrl: string, privateKey: Uint8Array, withGas: boolean): Promise<PrivateKeyAccount> {
  const account = privateKeyToAccount(toHex(privateKey));
  const gift = { to: account.address, micros: String(PURSE_MICROS), reference: account.address, with_gas: withGas };
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tally_fund', params: [gift] });
  const response = await fetch(chainUrl, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  const { error } = (await response.json()) as { error?: { message: string } };
  if (error) throw new Error(error.message);
  return account;
}

interface RunningPlatform extends AsyncDisposable {
  url: string;
  chainUrl: string;
}

/** As people start it, in a folder of its own. @errors rejects with what it said when it does not come up */
async function startPlatform(): Promise<RunningPlatform> {
  const folder = mkdtempSync(join(tmpdir(), 'tally-paid-'));
  const flags = ['--data', folder, '--port', '0'];
  const supervisor = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', UP_PROGRAM, ...flags], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = await untilUp(supervisor);
  return {
    url: /api ready: (\S+)/.exec(said)![1]!,
    chainUrl: /chain ready: (\S+)/.exec(said)![1]!,
    async [Symbol.asyncDispose]() {
      supervisor.kill('SIGINT');
      await once(supervisor, 'exit');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function untilUp(supervisor: ChildProcess): Promise<string> {
  let said = '';
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const timer = setTimeout(() => reject(new Error(`the platform did not come up:\n${said}`)), START_MS_MAX);
  for (const stream of [supervisor.stdout, supervisor.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      if (said.includes('Tallystick is up')) resolve(said);
    });
  return promise.finally(() => clearTimeout(timer));
}
