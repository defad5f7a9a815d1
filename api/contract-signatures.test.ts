/** What bounds the asking of contract wallets: time, number, and which chain can be asked at all. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { type Chain, ChainFault } from '@tallystick/engine/adapters/chain';
import { type LoginClaim, signatureJudge } from './contract-signatures.ts';

const CLAIM: LoginClaim = { chainId: 31_337, address: `0x${'ab'.repeat(20)}`, message: 'text', signature: '0x00' };
const CAP = 16;
const block = { number: 7n, hash: `0x${'cd'.repeat(32)}` as const };

const linkTo = (signatureHolds: Chain['signatureHolds']) => ({
  chain: async () => ({ chainId: 31_337, key: 'eip155:31337/00', signatureHolds }) as Chain,
});
const isAway = (words: RegExp) => (fault: unknown) =>
  fault instanceof ChainFault && fault.kind === 'unreachable' && words.test(fault.message);

test('the chain’s word is passed on with its place', async () => {
  for (const holds of [true, false]) {
    const judge = signatureJudge(linkTo(async () => ({ holds, block })));
    assert.deepEqual(await judge(CLAIM), { holds, rail: 'eip155:31337/00', block: '7', blockHash: block.hash });
  }
});

test('[I-29] a chain that is not connected is not asked, and says no', async () => {
  const judge = signatureJudge(linkTo(() => assert.fail('asked')));
  assert.deepEqual(await judge({ ...CLAIM, chainId: 1 }), { holds: false, rail: '', block: '', blockHash: '' });
});

test('[I-29] a chain that is slow or away is an outage', async () => {
  const { promise: never, resolve } = Promise.withResolvers<{ holds: boolean; block: typeof block }>();
  await assert.rejects(
    signatureJudge(
      linkTo(() => never),
      5,
    )(CLAIM),
    isAway(/no answer in 5 ms/),
  );
  resolve({ holds: true, block });
  const gone = { chain: () => Promise.reject(new ChainFault('unreachable', 'gone')) };
  await assert.rejects(signatureJudge(gone)(CLAIM), isAway(/gone/));
});

test('no more are asked at once than the cap, and a place is free again when the chain has answered', async () => {
  const answers: (() => void)[] = [];
  const judge = signatureJudge(
    linkTo(() => new Promise((resolve) => answers.push(() => resolve({ holds: true, block })))),
  );
  const asked = Array.from({ length: CAP }, () => judge(CLAIM));
  await assert.rejects(judge(CLAIM), isAway(/16 signatures are being checked, the cap is 16/));
  for (const answer of answers) answer();
  assert.equal((await Promise.all(asked)).length, CAP);
  const again = judge(CLAIM);
  await new Promise(setImmediate);
  answers.at(-1)!();
  assert.equal((await again).holds, true);
});
