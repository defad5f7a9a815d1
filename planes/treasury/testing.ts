/**
 * Quotes and their payments for tests: names, commands, and worlds that carry them out.
 * Promise: every command stands as a platform and its callers would ask it; what is tried is changed by the test.
 */
import { type Decider, type JsonObject, memoryWorld, type Rules, SUSPENSE, type World } from '@tallystick/kernel';
import type { LawCommand } from '@tallystick/kernel/laws';
import {
  account,
  address,
  authNonceOf,
  authorization,
  authorizationStream,
  deposit,
  depositStream,
  ledger,
  type QuoteState,
  quote,
  quoteIdOf,
  quoteStream,
  rail,
  railStream,
  signer,
  signerStream,
  TREASURY_REACTIONS,
} from './index.ts';

export const RAIL = 'eip155:31337/00ff00ff00ff00ff';
export const PAYER = '0x00000000000000000000000000000000000000cc';
export const OTHER_PAYER = '0x00000000000000000000000000000000000000dd';
export const ANN = 'eip155:1:0x00000000000000000000000000000000000000aa';
export const BOB = 'eip155:1:0x00000000000000000000000000000000000000bb';
export const TREASURY = '0x00000000000000000000000000000000000000ee';
export const RELAYER = '0x0000000000000000000000000000000000000ee1';
export const FINGERPRINT = 'ab'.repeat(32);
export const NOW_S = 1_000_000n;
export const US_PER_S = 1_000_000n;
export const ID = quoteIdOf(ANN, 'k');
/** Of the first offer and of the second: whoever signs one of them means this quote. */
export const NONCE = authNonceOf(ID, 0, RAIL);
export const OTHER_NONCE = authNonceOf(ID, 1, RAIL);
export const RULES: Rules = {
  deciders: new Map(
    [ledger, account, rail, address, deposit, signer, authorization, quote].map((one) => [
      one.kind,
      one as unknown as Decider,
    ]),
  ),
  reactions: TREASURY_REACTIONS,
  policy: { version: '1', hash: '00'.repeat(32) },
};

export const command = (stream: string, type: string, body: JsonObject, principal = 'platform'): LawCommand => ({
  principal,
  stream,
  type,
  body,
});
export const offer = (change: JsonObject = {}, by = ANN, id = ID) =>
  command(
    quoteStream(id),
    'OfferQuote',
    {
      key: 'k',
      fingerprint: FINGERPRINT,
      options: [
        { amount_micros: '700', label: 'shortfall' },
        { amount_micros: '900', label: 'runway_6h' },
      ],
      rail: RAIL,
      network: 'eip155:31337',
      token: '0x01',
      pay_to: TREASURY,
      ...change,
    },
    by,
  );
export const assign = (nonce = NONCE, by = ANN, id = ID, payer = PAYER, where = RAIL) =>
  command(
    authorizationStream(where, payer, nonce),
    'AssignAuthorization',
    { rail: where, payer, nonce, quote: id },
    by,
  );
/** `more`: what its payer has (`cover_micros`), when somebody looked. */
export const bind = (change: JsonObject = {}, by = ANN, where = RAIL, id = ID, more: JsonObject = {}) =>
  command(
    quoteStream(id),
    'BindQuote',
    {
      ...more,
      rail: where,
      payment: {
        from: PAYER,
        to: TREASURY,
        value: '700',
        valid_after: '0',
        valid_before: String(NOW_S + 300n),
        nonce: NONCE,
        signature: '0x5165',
        ...change,
      },
    },
    by,
  );
export const openSigner = command(signerStream(RAIL, RELAYER), 'OpenSigner', {
  rail: RAIL,
  address: RELAYER,
  from_nonce: '0',
});
export const sign = (nonce = '0', by = 'platform') =>
  command(
    quoteStream(ID),
    'SignTransaction',
    { rail: RAIL, signer: RELAYER, nonce, hash: `0xa${nonce}`, raw: '0x02', max_fee_wei: '5' },
    by,
  );
export const replace = command(quoteStream(ID), 'ReplaceTransaction', { hash: '0xb0', raw: '0x03', max_fee_wei: '9' });
export const conclude = (succeeded: boolean, hash = '0xa0') =>
  command(quoteStream(ID), 'ConcludeTransaction', { succeeded, hash, block: '7', block_hash: '0xb7' });
/** Something else took its nonce. */
export const displaced = command(quoteStream(ID), 'ConcludeTransaction', {
  ...{ succeeded: false, hash: '', block: '', block_hash: '', by: '0xff', attempts: 1 },
});
export const LAPSE_BLOCK = '9';
export const lapse = (block_time_s: bigint, by = 'platform', is_used = false, where = RAIL) =>
  command(
    quoteStream(ID),
    'LapseQuote',
    {
      ...{ rail: where, payer: PAYER, nonce: NONCE, block_time_s: String(block_time_s) },
      ...{ block: LAPSE_BLOCK, block_hash: '0xb9', is_used },
    },
    by,
  );
/** Blocks up to this one were looked through. */
export const scan = (number: string) =>
  command(railStream(RAIL), 'RecordScan', {
    scanned: { number, hash: `0xb${number}` },
    anchor: { number: '0', hash: '0xb0' },
  });
export const see = (change: JsonObject = {}, id = 'dep_1') =>
  command(depositStream(id), 'SeeDeposit', {
    rail: RAIL,
    tx: '0x7',
    ordinal: '0',
    block: '5',
    block_hash: '0xb5',
    payer: PAYER,
    payee: TREASURY,
    amount_micros: '700',
    principal: ANN,
    authorization: NONCE,
    ...change,
  });
export const credit = (change: JsonObject = {}, who = ANN, id = 'dep_1') =>
  command(`account:${who}`, 'CreditDeposit', {
    deposit_id: id,
    amount_micros: '700',
    source: RAIL,
    reference: '0x7#0',
    quote_id: ID,
    payment: { payer: PAYER, nonce: NONCE },
    ...change,
  });
export const lose = (id = 'dep_1', block_hash = '0xb5') => command(depositStream(id), 'LoseDeposit', { block_hash });
/** `dep_2` for `dep_1`. */
export const adopt = (by = 'platform') => command(depositStream('dep_2'), 'AdoptDeposit', { paid_as: 'dep_1' }, by);
export const topUp = (amount: string, by = ANN) =>
  command(`account:${ANN}`, 'RequestTopUp', { amount_micros: amount }, by);
export const settle = (by: string) =>
  command(quoteStream(ID), 'SettleQuote', { deposit_id: 'd', amount_micros: '1', payer: PAYER, nonce: NONCE }, by);

export const SETUP = [
  command('ledger:platform', 'OpenLedger', { providers: [] }),
  command(railStream(RAIL), 'OpenRail', { token: '0x01', treasury: TREASURY, factory: '0x02' }),
  ...[ANN, BOB, SUSPENSE].map((who) => command(`account:${who}`, 'OpenAccount', {})),
  openSigner,
];
export const BOUND = [...SETUP, offer(), assign(), bind()];
export const PAID = [...BOUND, see(), credit()];

export function run(...commands: LawCommand[]) {
  const world = memoryWorld(RULES);
  const outcomes = commands.map((one, i) =>
    world.execute({ principal: 'platform', key: `k${i}`, ...one }, NOW_S * US_PER_S + BigInt(i)),
  );
  return { world, last: outcomes.at(-1)! };
}
/** The same, with the last command so much later. */
export function runLater(ms: number, ...commands: LawCommand[]) {
  const { world } = run(...commands.slice(0, -1));
  const last = { principal: 'platform', key: 'later', ...commands.at(-1)! };
  return { world, last: world.execute(last, NOW_S * US_PER_S + BigInt(ms) * 1_000n) };
}
export const stateOf = (world: World) => world.state(quoteStream(ID)) as QuoteState;
export const sent = (world: World): number => world.outbox.filter(({ topic }) => topic === 'broadcast').length;
