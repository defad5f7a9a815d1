/**
 * Wallets that are contracts, on a whole platform: the chain says whether they signed.
 * Promise: a chain that is away makes them wait and refuses nobody; wallets with a key of their own do not notice.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { ApiError, connect, type Login, login, type Signer } from '@tallystick/sdk';
import {
  type Address,
  encodeFunctionData,
  type Hex,
  type PrivateKeyAccount,
  serializeErc6492Signature,
  toHex,
} from 'viem';
import { query } from './harness/books.ts';
import { artifactOf, CHAIN_ID, type ChainHand, chainOf } from './harness/chain.ts';
import { newcomer } from './harness/newcomer.ts';
import { type Platform, ROOT, startPlatform, temporaryFolder } from './harness/platform.ts';
import { signal } from './harness/processes.ts';

const FACTORY = artifactOf('DevelopmentWalletFactory');
const LOGIN_MS_MAX = 4_000;

const refusedAs = (code: string, status: number) => (fault: unknown) => {
  assert.ok(fault instanceof ApiError, String(fault));
  assert.deepEqual([fault.code, fault.status], [code, status]);
  return true;
};

describe('a contract wallet logs in', { concurrency: 1 }, () => {
  let platform: Platform;
  let chain: ChainHand;
  let owner: PrivateKeyAccount;
  let stranger: PrivateKeyAccount;
  let factory: Address;
  let standing: Address;

  const makingOf = (salt: number): Hex =>
    encodeFunctionData({ abi: FACTORY.abi, functionName: 'make', args: [owner.address, toHex(salt, { size: 32 })] });
  const predicted = async (salt: number): Promise<Address> => {
    const args = [owner.address, toHex(salt, { size: 32 })];
    return (await chain.client.readContract({
      address: factory,
      abi: FACTORY.abi,
      functionName: 'predict',
      args,
    })) as Address;
  };
  const signerOf = (address: Address, by: PrivateKeyAccount, wrap = async (signature: Hex) => signature): Signer => ({
    address,
    signPersonal: async (message) => wrap(await by.signMessage({ message })),
  });
  const enter = (signer: Signer, more: { chainId?: number; attemptsMax?: number } = {}): Promise<Login> =>
    login({ baseUrl: platform.url, chainId: CHAIN_ID, signer, ...more });

  before(async () => {
    platform = await startPlatform();
    chain = chainOf(platform);
    [owner, stranger] = [await chain.wallet(), await chain.wallet()];
    factory = await chain.deploy(owner, FACTORY);
    await chain.send(owner, factory, makingOf(1));
    standing = await predicted(1);
  });
  after(() => platform[Symbol.asyncDispose]());

  test('[I-29] by its owner’s signature, and it owns what it makes', async () => {
    const key = await enter(signerOf(standing, owner));
    assert.equal(key.principal, `eip155:${CHAIN_ID}:${standing.toLowerCase()}`);
    const tally = connect({ baseUrl: platform.url, apiKey: key.secret });
    await tally.depositDevelopment(5_000n);
    assert.equal((await tally.balance()).balanceMicros, 5_000n);
    const [row] = await query<{ body: string }>(
      platform.folder,
      `select convert_from(payload, 'UTF8') as body from engine.receipt where owner = $1 and stream like 'login:%'`,
      [key.principal],
    );
    const { evidence, events } = JSON.parse(row!.body) as {
      evidence: Record<string, string>[];
      events: { body: object }[];
    };
    const [{ method, rail, block, block_hash } = {}] = evidence;
    assert.equal(method, 'contract');
    assert.match(rail!, /^eip155:31337\/[0-9a-f]{16}$/);
    assert.equal((await chain.client.getBlock({ blockNumber: BigInt(block!) })).hash, block_hash);
    assert.equal((events[0]!.body as { method: string }).method, 'contract');
  });

  test('[I-29] before it stands on the chain, and it does not stand there afterwards', async () => {
    const address = await predicted(2);
    const wrap = async (signature: Hex): Promise<Hex> =>
      serializeErc6492Signature({ address: factory, data: makingOf(2), signature });
    assert.match((await enter(signerOf(address, owner, wrap))).principal, new RegExp(address.toLowerCase()));
    assert.equal(await chain.client.getCode({ address }), undefined);
    await assert.rejects(enter(signerOf(address, stranger, wrap)), refusedAs('login_signature_refused', 401));
  });

  test('[I-29] not by a stranger, not on a chain where it does not stand, and an address without a contract never', async () => {
    const refused = refusedAs('login_signature_refused', 401);
    await assert.rejects(enter(signerOf(standing, stranger)), refused);
    await assert.rejects(enter(signerOf(standing, owner), { chainId: 1 }), refused);
    await assert.rejects(enter(signerOf(stranger.address, owner)), refused);
    const endless = signerOf(standing, owner, async () => `0x${'ab'.repeat(8_193)}`);
    await assert.rejects(enter(endless), refusedAs('invalid_request', 400));
  });

  test('[I-29] a chain that is away delays it and refuses nobody; a wallet with a key notices nothing', async () => {
    const died = platform.pid('chain');
    signal(died, 'SIGSTOP');
    const startedMs = performance.now();
    await newcomer(platform.url);
    assert.ok(performance.now() - startedMs < LOGIN_MS_MAX, 'the chain was asked for a wallet with a key');
    await assert.rejects(enter(signerOf(standing, owner), { attemptsMax: 1 }), refusedAs('chain_unreachable', 503));
    const waiting = enter(signerOf(standing, owner), { attemptsMax: 20 });
    await platform.kill('chain');
    assert.match(
      (await waiting).principal,
      new RegExp(standing.toLowerCase()),
      'the same attempt, once there is a chain',
    );
    await platform.untilReady([died]);
  });

  test('[I-20] an export with such logins verifies offline', async () => {
    const { secret } = await enter(signerOf(standing, owner));
    const folder = temporaryFolder();
    const file = join(folder, 'all.jsonl');
    await connect({ baseUrl: platform.url, apiKey: secret }).receipts.export(file);
    const main = join(ROOT, 'terminal', 'main.ts');
    const { stdout } = await promisify(execFile)(process.execPath, [main, 'verify', file, '--json']);
    const { ok, problems } = JSON.parse(stdout) as { ok: boolean; problems: unknown[] };
    rmSync(folder, { recursive: true });
    assert.deepEqual([ok, problems], [true, []]);
  });
});
