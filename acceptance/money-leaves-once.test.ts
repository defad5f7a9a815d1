/**
 * Money that leaves the platform, on a whole platform.
 * Promise: what a job did not spend goes back to the wallet it came from, once, whatever dies on the way; and nothing leaves that may not.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import {
  type ApiError,
  connect,
  login,
  newPrivateKey,
  type Signer,
  signerOfPrivateKey,
  type Tally,
  USUAL_SCOPES,
  WITHDRAW_SCOPE,
  WithdrawalStatus,
} from '@tallystick/sdk';
import { type Address, encodeFunctionData, parseAbi, toHex } from 'viem';
import { type PrivateKeyAccount, privateKeyToAccount } from 'viem/accounts';
import { bookProblems } from './harness/books.ts';
import { artifactOf, chainOf } from './harness/chain.ts';
import { newcomer } from './harness/newcomer.ts';
import { type Platform, ROOT, startPlatform, temporaryFolder } from './harness/platform.ts';
import { until } from './harness/until.ts';

const DEPOSIT_MICROS = 2_000_000n;
const CENT = 10_000n;
const WITHDRAW_MS_MAX = 90_000;
const DAY_MS = 86_400_000;
const TOKEN_ABI = parseAbi([
  'function balanceOf(address account) view returns (uint256)',
  'function transfer(address to, uint256 value) returns (bool)',
]);

describe('money leaves once', { concurrency: 1 }, () => {
  let platform: Platform;
  let tally: Tally;
  let signer: Signer;
  const admin = signerOfPrivateKey(newPrivateKey());
  before(async () => {
    platform = await startPlatform({ env: { TALLY_ADMINS: `eip155:1:${admin.address.toLowerCase()}` } });
    const scopes = [...USUAL_SCOPES, WITHDRAW_SCOPE];
    ({ tally, signer } = await newcomer(platform.url, { depositMicros: DEPOSIT_MICROS, attemptsMax: 40, scopes }));
  });
  after(() => platform[Symbol.asyncDispose]());

  const ended = (id: string) =>
    until(
      `${id} has ended`,
      async () => {
        const found = await tally.withdrawals.get(id).catch(() => undefined);
        return found && found.status !== WithdrawalStatus.HELD && found.status !== WithdrawalStatus.SIGNED && found;
      },
      WITHDRAW_MS_MAX,
    );
  const tokenOf = async () => (await tally.deposits.reserves()).token as Address;
  const onChain = async (address: string): Promise<bigint> =>
    chainOf(platform).client.readContract({
      ...{ address: await tokenOf(), abi: TOKEN_ABI, functionName: 'balanceOf', args: [address as Address] },
    });
  /** The platform's own key, past every program. */
  const keyOf = (name: string): PrivateKeyAccount => {
    const seed = Buffer.from(readFileSync(join(platform.folder, 'keys', `${name}.seed`), 'utf8').trim(), 'base64');
    return privateKeyToAccount(`0x${seed.toString('hex')}`);
  };
  const transfer = async (from: PrivateKeyAccount, to: Address, micros: bigint) => {
    const data = encodeFunctionData({ abi: TOKEN_ABI, functionName: 'transfer', args: [to, micros] });
    await chainOf(platform).send(from, await tokenOf(), data);
  };
  const assertBalance = async () => {
    const { depositedMicros, balanceMicros, spentMicros, withdrawnMicros, withdrawingMicros } = await tally.balance();
    assert.equal(depositedMicros, balanceMicros + spentMicros + withdrawnMicros + withdrawingMicros);
  };

  test('[I-43] the rest after a job goes to the wallet that logged in', async () => {
    const job = await tally.jobs.create({ maxTotalSpendMicros: 100_000n });
    const sandbox = await job.sandboxes.create({ quantumMs: 1_000n });
    await sandbox.exec(['true']);
    await sandbox.destroy();
    await until('the job costs nothing more', async () => (await tally.balance()).heldMicros === 0n);
    const asked = await tally.withdrawals.create(1_500_000n, { key: 'the-rest' });
    const again = await tally.withdrawals.create(1_500_000n, { key: 'the-rest' });
    assert.deepEqual([again.id, asked.to], [asked.id, signer.address.toLowerCase()]);
    await assertBalance();
    const { status, tx, block } = await ended(asked.id);
    assert.deepEqual([status, tx.length, block! > 0n], [WithdrawalStatus.FINAL, 66, true]);
    await assert.rejects(tally.withdrawals.cancel(asked.id), { code: 'withdrawal_under_way' });
    const { withdrawnMicros, withdrawingMicros, spentMicros } = await tally.balance();
    assert.deepEqual([withdrawnMicros, withdrawingMicros, spentMicros > 0n], [1_500_000n, 0n, true]);
    await assertBalance();
    assert.equal(await onChain(signer.address), 1_500_000n);
  });

  test('it is refused over the balance, the cap, below the smallest, and to an address that nobody proved', async () => {
    const refused = (micros: bigint, to: string | undefined, expected: object) =>
      assert.rejects(tally.withdrawals.create(micros, to === undefined ? {} : { to }), expected);
    await refused(5_000_000n, undefined, { code: 'withdrawal_over_balance' });
    await refused(2_000_000_000n, undefined, { code: 'withdrawal_cap_exceeded' });
    await refused(9_999n, undefined, { code: 'withdrawal_too_small' });
    const stranger = signerOfPrivateKey(newPrivateKey()).address;
    await refused(CENT, stranger, { code: 'payout_address_unknown' });
    const mistyped = stranger.replace(/[a-f](?=[^a-f]*$)/, (char) => char.toUpperCase());
    if (mistyped !== stranger) await refused(CENT, mistyped, { code: 'payout_address_refused' });
    const { address } = await tally.deposits.address();
    await refused(CENT, address, { code: 'payout_address_refused' });
    await refused(CENT, (await tally.deposits.reserves()).treasury, { code: 'payout_address_refused' });
    await assertBalance();
  });

  test('another address is proven by its signature and the owner’s, once, and usable a day later', async () => {
    const other = signerOfPrivateKey(newPrivateKey());
    const { addresses } = tally.withdrawals;
    const { message } = await addresses.ask(other.address);
    const [signature, ownerSignature] = [await other.signPersonal(message), await signer.signPersonal(message)];
    const right = { address: other.address, message, signature, ownerSignature };
    for (const wrong of [{ ...right, ownerSignature: signature }, right]) // at last the text was burnt
      await assert.rejects(addresses.confirm(wrong), { code: 'payout_proof_refused' });
    const proven = await addresses.prove(other, signer);
    assert.equal(proven.isUsable, false);
    const waitMs = Number(proven.usableFrom!.seconds) * 1_000 - Date.now();
    assert.ok(waitMs > DAY_MS - 120_000 && waitMs <= DAY_MS + 5_000, `${waitMs} ms`);
    await assert.rejects(tally.withdrawals.create(CENT, { to: other.address }), { code: 'payout_address_waiting' });
    const listed = await Array.fromAsync(addresses.list(), ({ address, isOwn, isUsable }) => [
      address,
      isOwn,
      isUsable,
    ]);
    assert.deepEqual(listed, [
      [signer.address.toLowerCase(), true, true],
      [other.address.toLowerCase(), false, false],
    ]);
    await addresses.revoke(other.address);
    assert.equal((await Array.fromAsync(addresses.list())).length, 1);
  });

  test('[I-29] a contract wallet proves itself by its own word, asked of the chain', async () => {
    const chain = chainOf(platform);
    const [owner, stranger] = [await chain.wallet(), await chain.wallet()];
    const { abi, bytecode } = artifactOf('DevelopmentWalletFactory');
    const factory = await chain.deploy(owner, { abi, bytecode });
    const args = [owner.address, toHex(1, { size: 32 })];
    await chain.send(owner, factory, encodeFunctionData({ abi, functionName: 'make', args }));
    const asked = { address: factory, abi, functionName: 'predict', args };
    const address = (await chain.client.readContract(asked)) as Address;
    const signedBy = (key: PrivateKeyAccount) => ({
      address,
      signPersonal: (message: string) => key.signMessage({ message }),
    });
    const { addresses } = tally.withdrawals;
    await assert.rejects(addresses.prove(signedBy(stranger), signer), { code: 'payout_proof_refused' });
    assert.equal((await addresses.prove(signedBy(owner), signer)).address, address.toLowerCase());
    await assert.rejects(tally.withdrawals.create(CENT, { to: address }), { code: 'payout_address_waiting' });
  });

  test('[I-29] a key that was not asked for by name withdraws nothing, adds no address, and is told how', async () => {
    const { tally: agent, signer: own, key } = await newcomer(platform.url, { depositMicros: 50_000n });
    assert.deepEqual(key.scopes, USUAL_SCOPES);
    const refused = ({ code, problem }: ApiError): boolean =>
      code === 'scope_missing' && /`tally login --withdraw`/.test(problem.suggestion);
    await assert.rejects(agent.withdrawals.create(CENT), refused);
    await assert.rejects(agent.withdrawals.addresses.prove(signerOfPrivateKey(newPrivateKey()), own), refused);
  });

  test('[I-17] [I-43] meter and api are killed while withdrawals are under way: each arrives once', async () => {
    const before = await onChain(signer.address);
    const asked = [];
    for (const n of [0, 1, 2]) {
      asked.push((await tally.withdrawals.create(CENT + BigInt(n), { key: `killed-${n}` })).id);
      const name = n % 2 === 0 ? 'meter' : 'api';
      const died = platform.pid(name);
      await platform.kill(name);
      await platform.untilReady([died]);
    }
    for (const id of asked) assert.equal((await ended(id)).status, WithdrawalStatus.FINAL);
    assert.equal(await onChain(signer.address), before + 3n * CENT + 3n);
    await assertBalance();
    const { isEqual, withdrawalsStopped, lastCheck } = await until('the reserves agree', async () => {
      const reserves = await tally.deposits.reserves();
      return reserves.isEqual && reserves.lastCheck?.isEqual && reserves;
    });
    assert.deepEqual([isEqual, withdrawalsStopped, lastCheck!.missingMicros], [true, false, 0n]);
    assert.deepEqual(await bookProblems(platform.folder), []);
  });

  test('[I-20] an export of whoever withdrew verifies offline', async () => {
    const folder = temporaryFolder();
    const file = join(folder, 'all.jsonl');
    await tally.receipts.export(file);
    const main = join(ROOT, 'terminal', 'main.ts');
    const { stdout } = await promisify(execFile)(process.execPath, [main, 'verify', file, '--json']);
    rmSync(folder, { recursive: true });
    const { ok, problems } = JSON.parse(stdout) as { ok: boolean; problems: unknown[] };
    assert.deepEqual([ok, problems], [true, []]);
  });

  test('[I-42] a theft from the treasury stops withdrawals and is told; replaced, they go on', async () => {
    const stopped = (wanted: boolean) =>
      until(`withdrawals are ${wanted ? 'stopped' : 'let out'}`, async () => {
        const reserves = await tally.deposits.reserves();
        return reserves.withdrawalsStopped === wanted && reserves;
      });
    const thief = await chainOf(platform).wallet();
    await transfer(keyOf('treasury'), thief.address, 7n);
    const { lastCheck, isEqual } = await stopped(true);
    assert.deepEqual([isEqual, lastCheck!.missingMicros], [false, 7n]);
    await assert.rejects(tally.withdrawals.create(CENT), { code: 'reserves_disagree' });
    await chainOf(platform).fund(keyOf('relayer').address, 7n);
    await transfer(keyOf('relayer'), keyOf('treasury').address, 7n);
    await stopped(false);
    await until('a withdrawal arrives', async () => {
      const { id } = await tally.withdrawals.create(CENT);
      return (await ended(id)).status === WithdrawalStatus.FINAL; // the thief took a nonce: the one that had it comes back
    });
    await assertBalance();
  });

  test('[I-42] what the platform puts in of its own is missed when it is stolen; a person explains both, within what was found', async () => {
    const key = await login({ baseUrl: platform.url, signer: admin, chainId: 1, scopes: ['platform:admin'] });
    const { funds } = connect({ baseUrl: platform.url, apiKey: key.secret }).services;
    const checked = (what: string, missingMicros: bigint, isEqual: boolean) =>
      until(`${what} is found`, async () => {
        const { lastCheck, withdrawalsStopped } = await tally.deposits.reserves();
        const isSo = lastCheck!.missingMicros === missingMicros && lastCheck!.isEqual === isEqual;
        return isSo && withdrawalsStopped === missingMicros > 0n;
      });
    const because = { reason: 'a drill' };
    await chainOf(platform).fund(keyOf('relayer').address, 9n);
    await transfer(keyOf('relayer'), keyOf('treasury').address, 9n);
    await checked('a surplus', 0n, false);
    await assert.rejects(tally.services.funds.contributeFunds({ amountMicros: 9n, ...because }), {
      code: 'scope_missing',
    });
    const tooMuch = { code: 'funds_not_unexplained' };
    await assert.rejects(funds.contributeFunds({ amountMicros: 10n, ...because }), tooMuch);
    const { ownMicros, unexplainedMicros } = await funds.contributeFunds({ amountMicros: 9n, ...because });
    assert.deepEqual([ownMicros, unexplainedMicros], [9n, 0n]);
    await checked('nothing', 0n, true);
    await transfer(keyOf('treasury'), (await chainOf(platform).wallet()).address, 9n);
    await checked('the theft', 9n, false);
    assert.equal((await funds.writeOffFunds({ amountMicros: 9n, ...because })).ownMicros, 0n);
    await checked('nothing', 0n, true);
    assert.deepEqual(await bookProblems(platform.folder), []);
    await assertBalance();
  });

  test('[I-14] watchers that are sent back look through the chain again, and credit nothing twice', async () => {
    const key = await login({ baseUrl: platform.url, signer: admin, chainId: 1, scopes: ['platform:admin'] });
    const { funds } = connect({ baseUrl: platform.url, apiKey: key.secret }).services;
    const because = { reason: 'a drill' };
    await assert.rejects(tally.services.funds.rescanDeposits({ fromBlock: 2n, ...because }), { code: 'scope_missing' });
    await assert.rejects(funds.rescanDeposits({ fromBlock: 1_000_000n, ...because }), { code: 'not_found' });
    const { beforeBlock } = await funds.rescanDeposits({ fromBlock: 2n, ...because });
    await until('everything was looked through again', async () => {
      const { answer } = await funds.rescanDeposits({ fromBlock: beforeBlock, ...because }).then(
        (answer) => ({ answer }),
        () => ({ answer: undefined }),
      );
      return answer !== undefined;
    });
    const { lastCheck } = await tally.deposits.reserves();
    assert.equal(lastCheck!.missingMicros, 0n);
    assert.deepEqual(await bookProblems(platform.folder), []);
    await assertBalance();
  });
});
