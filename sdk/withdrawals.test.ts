// Withdrawals as the sdk offers them: what may leave, waiting for the end, and texts that are not signed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checksumAddress, formatSiwe, type SiweMessage } from '@tallystick/kernel';
import { WithdrawalStatus } from '@tallystick/proto';
import type { Link } from './services.ts';
import { type Signer, signerOfPrivateKey } from './wallet.ts';
import { type TextSigner, withdrawalsOf } from './withdrawals.ts';

const BASE_URL = 'http://127.0.0.1:8080';
const signer = signerOfPrivateKey(new Uint8Array(32).fill(7));
const owner = signerOfPrivateKey(new Uint8Array(32).fill(5));
const OTHER = checksumAddress('0x00000000000000000000000000000000000000aa');

/** Only what a test asks for is there. */
const linkOf = (services: object): Link => ({ services }) as unknown as Link;

const TEXT: SiweMessage = {
  domain: '127.0.0.1:8080',
  address: signer.address,
  statement: `Let withdrawals of the account eip155:1:${owner.address.toLowerCase()} go to ${signer.address}.`,
  uri: BASE_URL,
  version: '1',
  chainId: 1,
  nonce: 'a1'.repeat(16),
  issuedAt: '2026-01-01T00:00:00Z',
};

async function proveWith(message: string): Promise<{ signed: string[]; sent: unknown[] }> {
  const [signed, sent]: [string[], unknown[]] = [[], []];
  const watched = (one: Signer): TextSigner => ({
    address: one.address,
    signPersonal(text) {
      signed.push(text);
      return one.signPersonal(text);
    },
  });
  const withdrawals = {
    createPayoutNonce: async () => ({ message }),
    createPayoutAddress: async (request: unknown) => sent.push(request),
  };
  await withdrawalsOf(linkOf({ withdrawals }), BASE_URL)
    .addresses.prove(watched(signer), watched(owner))
    .catch((fault: Error) => assert.match(fault.message, /refused/));
  return { signed, sent };
}

test('the text of a payout address is signed by it and by the account’s owner, and sent back as it was given', async () => {
  const message = formatSiwe(TEXT);
  const { signed, sent } = await proveWith(message);
  assert.deepEqual(signed, [message, message]);
  const [signature, ownerSignature] = [await signer.signPersonal(message), await owner.signPersonal(message)];
  assert.deepEqual(sent, [{ address: signer.address, message, signature, ownerSignature }]);
});

const FOREIGN: [string, string][] = [
  ['of another site', formatSiwe({ ...TEXT, domain: 'bank.example' })],
  ['of a login', formatSiwe({ ...TEXT, statement: 'Sign in to Tallystick.' })],
  ['without a statement', formatSiwe({ ...TEXT, statement: undefined } as unknown as SiweMessage)],
  ['for another address', formatSiwe({ ...TEXT, address: OTHER })],
  ['that names another address', formatSiwe({ ...TEXT, statement: TEXT.statement!.replace(signer.address, OTHER) })],
  [
    'for somebody else’s account',
    formatSiwe({ ...TEXT, statement: TEXT.statement!.replace(/0x[0-9a-f]{40}/, OTHER.toLowerCase()) }),
  ],
  ['that is none', 'I owe you everything'],
];
for (const [what, message] of FOREIGN)
  test(`[I-29] a text ${what} is not signed`, async () => {
    assert.deepEqual(await proveWith(message), { signed: [], sent: [] });
  });

test('[I-29] the account’s wallet signs no text that came from elsewhere and is about another address', async () => {
  const signed: string[] = [];
  const watched = { address: owner.address, signPersonal: async (text: string) => String(signed.push(text)) };
  const { addresses } = withdrawalsOf(linkOf({ withdrawals: {} }), BASE_URL);
  for (const [, message] of FOREIGN) {
    const proof = { address: signer.address, message, signature: '0x00' };
    await assert.rejects(addresses.allow(proof, watched), /refused/);
  }
  assert.deepEqual(signed, []);
});

const MOST: [availableMicros: bigint, reserve: bigint, left: bigint, min: bigint, most: bigint][] = [
  [1_000_000n, 0n, 5_000_000n, 10_000n, 1_000_000n],
  [1_000_000n, 300_000n, 5_000_000n, 10_000n, 700_000n],
  [1_000_000n, 0n, 250_000n, 10_000n, 250_000n],
  [1_000_000n, 2_000_000n, 5_000_000n, 10_000n, 0n],
  [9_999n, 0n, 5_000_000n, 10_000n, 0n],
  [0n, 0n, 5_000_000n, 0n, 0n],
];
for (const [availableMicros, withdrawReserveMicros, leftToWithdrawMicros, withdrawMicrosMin, most] of MOST)
  test(`of ${availableMicros} with reserve ${withdrawReserveMicros} and ${leftToWithdrawMicros} left, ${most} may leave`, async () => {
    const billing = { getBalance: async () => ({ availableMicros }) };
    const told = { caps: { withdrawReserveMicros, withdrawMicrosMin }, use: { leftToWithdrawMicros } };
    const link = linkOf({ billing, policy: { getPolicy: async () => told }, withdrawals: {} });
    assert.equal(await withdrawalsOf(link, BASE_URL).most(), most);
  });

test('waiting ends when it is final or has come back, and with the signal', async () => {
  const statuses = [WithdrawalStatus.HELD, WithdrawalStatus.RETURNED];
  const withdrawals = { getWithdrawal: async () => ({ status: statuses.shift() ?? WithdrawalStatus.SIGNED }) };
  const { ended } = withdrawalsOf(linkOf({ withdrawals }), BASE_URL);
  assert.equal((await ended('wdr_1')).status, WithdrawalStatus.RETURNED);
  await assert.rejects(ended('wdr_1', { signal: AbortSignal.timeout(20) }), { name: 'AbortError' });
});
