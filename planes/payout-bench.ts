/**
 * A world with a chain, a treasury, an account with money and whatever leaves it: for tests of withdrawals.
 * Promise: every step goes through the real deciders; nothing is mocked but the chain itself.
 */
import {
  addressOfPrivateKey,
  dayOf,
  type JsonObject,
  memoryWorld,
  monthOf,
  type Outcome,
  signPersonal,
  userAccount,
  type World,
} from '@tallystick/kernel';
import {
  addressStream,
  depositStream,
  type PayoutState,
  payoutStream,
  type RailState,
  railStream,
  signerStream,
  type WithdrawalState,
  withdrawalStream,
} from '@tallystick/treasury';
import { RULES } from './index.ts';

export const RAIL = 'eip155:31337/00ff00ff00ff00ff';
export const ANN_KEY = Buffer.alloc(32, 5);
export const ANN_ADDRESS = addressOfPrivateKey(ANN_KEY).toLowerCase();
export const ANN = `eip155:1:${ANN_ADDRESS}`;
export const BOB = 'eip155:1:0x00000000000000000000000000000000000000bb';
export const TREASURY = '0x00000000000000000000000000000000000000ee';
export const TOKEN = '0x0000000000000000000000000000000000000001';
export const FACTORY = '0x0000000000000000000000000000000000000002';
export const FORWARDER = '0x0000000000000000000000000000000000000011';
export const RELAYER = '0x0000000000000000000000000000000000000012';
const OTHER_KEY = Buffer.alloc(32, 7);
/** An address that ANN proves. */
export const OTHER = addressOfPrivateKey(OTHER_KEY).toLowerCase();
/** 2026-01-01T00:00:00Z. */
export const START_US = 1_767_225_600_000_000n;
export const DAY_US = 86_400_000_000n;
const CHALLENGE_US = 900_000_000n;

export interface PayoutBench {
  readonly world: World;
  nowUs: bigint;
  ask(principal: string, stream: string, type: string, body?: JsonObject): Outcome;
  deposit(micros: string, who?: string): void;
  /** In the order of their credit. */
  readonly depositIds: string[];
  withdraw(micros: string, change?: JsonObject, id?: string, who?: string): Outcome;
  withdrawal(id?: string): WithdrawalState;
  /** As the broadcaster does. */
  sign(nonce: string, id?: string, change?: JsonObject): Outcome;
  conclude(succeeded: boolean, id?: string): Outcome;
  askPayout(address?: string, who?: string): Outcome;
  /** With the keys of `OTHER` and of `ANN`. */
  prove(change?: JsonObject, who?: string): Outcome;
  payout(): PayoutState;
  /** Records a look; what the ledger says now unless it is told. */
  look(chain?: { treasury?: string; forwarders?: string }, change?: JsonObject): Outcome;
  rail(): RailState;
  on(account: string): bigint | undefined;
}

/** A chain, its treasury's key, two accounts, one forwarder. */
export function newPayoutBench(): PayoutBench {
  let made = 0;
  const world = memoryWorld(RULES);
  const bench: PayoutBench = {
    world,
    nowUs: START_US,
    ask: (principal, stream, type, body = {}) =>
      world.execute({ principal, key: `k${made++}`, stream, type, body }, bench.nowUs),
    deposit: (micros, who = ANN) => depositOnChain(bench, micros, who, made++),
    depositIds: [],
    withdraw: (amount_micros, change = {}, id = 'wdr_1', who = ANN) =>
      bench.ask(who, withdrawalStream(id), 'RequestWithdrawal', {
        ...{ rail: RAIL, to: ANN_ADDRESS, amount_micros, month: monthOf(bench.nowUs), day: dayOf(bench.nowUs) },
        ...change,
      }),
    withdrawal: (id = 'wdr_1') => world.state(withdrawalStream(id)) as WithdrawalState,
    sign: (nonce, id = 'wdr_1', change = {}) =>
      bench.ask('platform', withdrawalStream(id), 'SignTransaction', {
        ...{ rail: RAIL, signer: TREASURY, principal: bench.withdrawal(id).principal, nonce },
        ...{ hash: hashOf(id), raw: '0x02', max_fee_wei: '1' },
        ...change,
      }),
    conclude: (succeeded, id = 'wdr_1') =>
      bench.ask('platform', withdrawalStream(id), 'ConcludeTransaction', {
        ...{ succeeded, hash: hashOf(id), block: '9', block_hash: '0xb9' },
      }),
    askPayout: (where = OTHER, who = ANN) =>
      bench.ask(who, payoutStream(ANN, RAIL, where), 'AskPayout', {
        ...{ rail: RAIL, address: where, domain: 'localhost:8080', uri: 'http://localhost:8080', chain_id: 31_337 },
        ...{ nonce: 'a1'.repeat(16), expires_at_us: String(bench.nowUs + CHALLENGE_US) },
      }),
    prove(change = {}, who = ANN) {
      const message = bench.payout().challenge?.message ?? 'nothing';
      const signed = { message, signature: signPersonal(message, OTHER_KEY), contract: null };
      const body = { ...signed, owner_signature: signPersonal(message, ANN_KEY), owner_contract: null, ...change };
      return bench.ask(who, payoutStream(ANN, RAIL, OTHER), 'ProvePayout', body);
    },
    payout: () => world.state(payoutStream(ANN, RAIL, OTHER)) as PayoutState,
    look: (chain = {}, change = {}) => look(bench, chain, change),
    rail: () => world.state(railStream(RAIL)) as RailState,
    on: (name) => world.availableMicros(name),
  };
  open(bench);
  return bench;
}

const hashOf = (id: string): string => `0xhash of ${id}`;

function open(bench: PayoutBench): void {
  bench.ask('platform', 'ledger:platform', 'OpenLedger', { providers: [] });
  bench.ask('platform', railStream(RAIL), 'OpenRail', { token: TOKEN, treasury: TREASURY, factory: FACTORY });
  for (const [signer, from_nonce] of [
    [TREASURY, '0'],
    [RELAYER, '5'],
  ] as const)
    bench.ask('platform', signerStream(RAIL, signer), 'OpenSigner', { rail: RAIL, address: signer, from_nonce });
  for (const who of [ANN, BOB]) bench.ask('platform', `account:${who}`, 'OpenAccount');
  const assigned = { rail: RAIL, address: FORWARDER, principal: BOB };
  bench.ask('platform', addressStream(RAIL, FORWARDER), 'AssignAddress', assigned);
}

/** To the treasury, from the principal's own address. */
function depositOnChain(bench: PayoutBench, amount_micros: string, principal: string, number: number): void {
  const id = `dep_${number}`;
  bench.depositIds.push(id);
  const payer = principal.slice(principal.lastIndexOf(':') + 1);
  const seen = { rail: RAIL, tx: `0x${number}`, ordinal: '0', block: '5', block_hash: '0xb5', payer, payee: TREASURY };
  bench.ask('platform', depositStream(id), 'SeeDeposit', { ...seen, amount_micros, principal });
  const body = { deposit_id: id, amount_micros, source: RAIL, reference: 'r' };
  bench.ask('platform', `account:${principal}`, 'CreditDeposit', body);
}

function look(bench: PayoutBench, chain: { treasury?: string; forwarders?: string }, change: JsonObject): Outcome {
  const parts = (['treasury', 'forwarders'] as const).map((part) => {
    const ledger_micros = String(-(bench.on(`chain:${RAIL}:${part}`) ?? 0n));
    const chain_micros = chain[part] ?? ledger_micros;
    return { part, ledger_micros, chain_micros, pending_micros: '0', leaving_micros: '0' };
  });
  return bench.ask('platform', railStream(RAIL), 'RecordReserves', {
    block: '9',
    block_hash: '0xb9',
    parts,
    ...change,
  });
}

export const balanceOf = (bench: PayoutBench, who = ANN): bigint => bench.on(userAccount(who)) ?? 0n;
