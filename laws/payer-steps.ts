/**
 * What people do who pay for requests, what strangers do with what they signed, and how the programs die meanwhile.
 * Promise: every step is what callers, wallets, the api and the meter really do; none looks at more than its doer could know.
 */
import { type Till, tillOf } from '@tallystick/api/testing';
import { cancelAuthorization, carryAuthorization } from '@tallystick/engine/adapters/chain/testing';
import { keyOf, lapseQuotes, mortality, type Person, type TreasuryWorld } from '@tallystick/meter/testing';
import fc from 'fast-check';
import { generatePrivateKey, type PrivateKeyAccount } from 'viem/accounts';
import { type ChargedRequest, newRequest, type SignedPayment, type StepOf, send, sign } from './charged-requests.ts';

const CENT = 10_000n;
/** By which the clock of the chain goes on: a payment that was signed before is too old then. */
const LATER_S = 60;
const COPIES_MAX = 3;
const DEATHS_MAX = 30;

/** `own-nonce`: the nonce is the wallet's own, as public clients choose it; `patron`: somebody else's wallet pays. */
type Wallet = 'own' | 'own-nonce' | 'patron';

export type PayerStep =
  | StepOf<'ask-machine', { who: number }>
  | StepOf<'ask-money', { who: number; cents: bigint }>
  | StepOf<'pay', { who: number; wallet: Wallet; choice: number; copies: number }>
  | StepOf<'ask-again' | 'pay-again', { who: number; copies: number }>
  | StepOf<'stranger-carries' | 'take-back', { who: number }>
  | StepOf<'later' | 'lapse'>
  | StepOf<'die-paying', { who: number; wallet: Wallet; choice: number; point: number }>
  | StepOf<'die-lapsing', { point: number }>;

/** Steps of one of so many people. */
export function payerSteps(people: number): fc.Arbitrary<PayerStep> {
  const who = fc.nat({ max: people - 1 });
  const copies = fc.integer({ min: 1, max: COPIES_MAX });
  const wallet = fc.constantFrom<Wallet[]>('own', 'own-nonce', 'patron');
  const choice = fc.nat({ max: 3 });
  const point = fc.nat({ max: DEATHS_MAX });
  const cents = fc.bigInt({ min: 1n, max: 300n });
  const step = <S extends PayerStep>(weight: number, model: { [K in keyof S]: fc.Arbitrary<S[K]> }) => ({
    weight,
    arbitrary: fc.record(model) as unknown as fc.Arbitrary<PayerStep>,
  });
  return fc.oneof(
    step(3, { do: fc.constant('ask-machine' as const), who }),
    step(4, { do: fc.constant('ask-money' as const), who, cents }),
    step(7, { do: fc.constant('pay' as const), who, wallet, choice, copies }),
    step(4, { do: fc.constantFrom('ask-again' as const, 'pay-again' as const), who, copies }),
    step(2, { do: fc.constant('stranger-carries' as const), who }),
    step(3, { do: fc.constant('take-back' as const), who }),
    step(4, { do: fc.constantFrom('later' as const, 'lapse' as const) }),
    step(4, { do: fc.constant('die-paying' as const), who, wallet, choice, point }),
    step(1, { do: fc.constant('die-lapsing' as const), point }),
  );
}

/** Everybody who pays for requests, and what came of it so far. */
export interface Payers {
  world: TreasuryWorld;
  people: readonly Person[];
  patron: PrivateKeyAccount;
  confirmations: number;
  till: Till;
  requests: ChargedRequest[];
}

export async function newPayers(
  world: TreasuryWorld,
  people: readonly Person[],
  terms: { confirmations: number; purseMicros: bigint },
): Promise<Payers> {
  const { confirmations, purseMicros } = terms;
  const patron = await world.test.wallet(purseMicros);
  const till = tillOf(world.engine, world.chain, keyOf('relayer').address);
  return { world, people, patron, confirmations, till, requests: [] };
}

export async function takePayerStep(payers: Payers, step: PayerStep): Promise<void> {
  if (step.do === 'later') return later(payers.world);
  if (step.do === 'lapse') return void (await lapseQuotes(payers.world.chain, lapsing(payers)));
  if (step.do === 'die-lapsing') return dieLapsing(payers, step.point);
  if (step.do === 'ask-machine') return ask(payers, newRequest(payers.people[step.who]!, nextKey(payers)));
  if (step.do === 'ask-money')
    return ask(payers, newRequest(payers.people[step.who]!, nextKey(payers), step.cents * CENT));
  const request = payers.requests.findLast(({ who }) => who === payers.people[step.who]);
  if (!request) return undefined;
  if (step.do === 'stranger-carries') return strangerCarries(payers, request);
  if (step.do === 'take-back') return takeBack(payers, request);
  if (step.do === 'pay') return pay(payers, request, step);
  if (step.do === 'die-paying') return diePaying(payers, request, step);
  const payment = step.do === 'pay-again' ? request.payments.at(-1)?.header : undefined;
  return void (await send(payers.world, payers.till, request, { payment, copies: step.copies }));
}

const nextKey = ({ requests }: Payers): string => `request-${requests.length}`;

const lapsing = ({ world: { engine, wish }, confirmations }: Payers) => ({ engine, confirmations, wish });

async function ask({ world, till, requests }: Payers, request: ChargedRequest): Promise<void> {
  requests.push(request);
  await send(world, till, request);
}

/** The clock of the chain goes on; ours does not. */
export async function later({ test }: TreasuryWorld): Promise<void> {
  test.later(LATER_S);
  await test.mine(1);
}

interface Paying {
  wallet: Wallet;
  choice: number;
}

const signedFor = (payers: Payers, request: ChargedRequest, { wallet, choice }: Paying): Promise<string> =>
  sign(payers.world, request, {
    payer: wallet === 'patron' ? payers.patron : request.who.key,
    choice,
    nonce: wallet === 'own-nonce' ? generatePrivateKey() : undefined,
  });

async function pay(payers: Payers, request: ChargedRequest, step: Paying & { copies: number }): Promise<void> {
  if (request.offer.length === 0) return;
  const payment = await signedFor(payers, request, step);
  await send(payers.world, payers.till, request, { payment, copies: step.copies });
}

/** The api that serves it dies at that point. */
async function diePaying(payers: Payers, request: ChargedRequest, step: Paying & { point: number }): Promise<void> {
  const { world } = payers;
  const { mortal } = mortality(step.point);
  const till = tillOf(mortal(world.engine), mortal(world.chain), keyOf('relayer').address);
  const payment = request.offer.length === 0 ? undefined : await signedFor(payers, request, step);
  await send(world, till, request, { payment });
  await world.engine.settled();
}

async function dieLapsing(payers: Payers, point: number): Promise<void> {
  const { mortal } = mortality(point);
  const { world } = payers;
  const dying = lapseQuotes(mortal(world.chain), { ...lapsing(payers), engine: mortal(world.engine) });
  await dying.catch(() => undefined);
  await world.engine.settled();
}

/** What the token takes no more is not carried. */
async function strangerCarries({ world }: Payers, { payments }: ChargedRequest): Promise<void> {
  const payment = payments.at(-1);
  if (payment) await carryAuthorization(world.test, payment.authorization).catch(refusedByToken);
}

async function takeBack({ world }: Payers, { payments }: ChargedRequest): Promise<void> {
  const payment: SignedPayment | undefined = payments.at(-1);
  if (!payment) return;
  const { payer, authorization } = payment;
  await cancelAuthorization(world.test, payer, authorization.nonce).catch(refusedByToken);
}

/** @errors rejects with the fault unless the token said no */
function refusedByToken(fault: Error): void {
  if (!/revert/i.test(fault.message)) throw fault;
}
