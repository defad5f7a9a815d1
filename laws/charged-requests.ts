/**
 * People who ask for what costs money, and pay what they are told: their requests, the offers they got, what they signed.
 * Promise: after each answer it has been looked at whether anybody is asked twice, or anything is carried out twice.
 */
import assert from 'node:assert/strict';
import {
  callOf,
  commandFrom,
  executeCharging,
  isUnderWay,
  paymentHeaderOf,
  quoteOf,
  type Till,
  topUp,
} from '@tallystick/api/testing';
import type { Authorization } from '@tallystick/engine/adapters/chain';
import { signAuthorization } from '@tallystick/engine/adapters/chain/testing';
import type { JsonObject } from '@tallystick/kernel';
import { machineFor, type Person, type TreasuryWorld } from '@tallystick/meter/testing';
import { ApiRefusal } from '@tallystick/surface';
import type { Hex } from 'viem';
import { generatePrivateKey, type PrivateKeyAccount } from 'viem/accounts';

/** One of the named steps, each with the same members. */
export type StepOf<Name extends string, Members = unknown> = Name extends unknown ? { do: Name } & Members : never;

/** A payment that is not on the chain by then never comes. */
const USABLE_S = 40n;

/** One way to pay, as it stands in a 402. */
interface WayToPay extends JsonObject {
  amount: string;
  extra: { authNonce: string };
}

export interface SignedPayment {
  header: string;
  authorization: Authorization;
  payer: PrivateKeyAccount;
}

/** A request that costs money: a machine, or dollars for the account. Both are sent as often as somebody likes. */
export interface ChargedRequest {
  who: Person;
  key: string;
  /** Absent for a machine. */
  topUpMicros: bigint | undefined;
  /** What answers named that said it was carried out. */
  results: Set<string>;
  /** The newest that it was told. */
  offer: WayToPay[];
  payments: SignedPayment[];
}

export const newRequest = (who: Person, key: string, topUpMicros?: bigint): ChargedRequest => ({
  ...{ who, key, topUpMicros, results: new Set<string>(), offer: [], payments: [] },
});

/** `offered`: told what to pay; `settling`: told to wait; `refused`: for another reason; `died`: whoever served it did. */
export type Answer = 'done' | 'offered' | 'settling' | 'refused' | 'died';

/** Sends it once or several times at once, and holds the answers to what is promised of them. */
export async function send(
  world: TreasuryWorld,
  till: Till,
  request: ChargedRequest,
  { payment, copies = 1 }: { payment?: string | undefined; copies?: number } = {},
): Promise<Answer[]> {
  const call = callOf({ principal: request.who.principal, key: request.key, payment });
  const earlier = await quoteOf(world.engine, call);
  const answers = await Promise.all(Array.from({ length: copies }, () => sendOnce(world, till, request, payment)));
  if (earlier && isUnderWay(earlier))
    assert.ok(!answers.includes('offered'), `${request.key}: asked to pay again while ${earlier.status}`);
  assert.ok(request.results.size <= 1, `${request.key} was carried out as ${[...request.results]}`);
  return answers;
}

async function sendOnce(
  world: TreasuryWorld,
  till: Till,
  request: ChargedRequest,
  payment: string | undefined,
): Promise<Answer> {
  const { who, key, topUpMicros } = request;
  const call = callOf({ principal: who.principal, key, payment });
  try {
    if (topUpMicros !== undefined) request.results.add(await topUp(till, call, topUpMicros));
    else request.results.add(await openMachine(world, till, request, call));
    return 'done';
  } catch (fault) {
    if (!(fault instanceof ApiRefusal)) return died(fault);
    const required = fault.headers['payment-required'];
    if (fault.code === 'PAYMENT_SETTLING') return 'settling';
    if (required === undefined) return 'refused';
    const { accepts } = JSON.parse(Buffer.from(required, 'base64').toString()) as { accepts: WayToPay[] };
    request.offer = accepts;
    return 'offered';
  }
}

/** @errors rejects with the fault, unless it is a death that was ordered */
function died(fault: unknown): Answer {
  assert.match(String((fault as Error).message), /died at/);
  return 'died';
}

/** What the answer names. */
async function openMachine(
  world: TreasuryWorld,
  till: Till,
  { who, key }: ChargedRequest,
  call: ReturnType<typeof callOf>,
): Promise<string> {
  const body = await machineFor(world, who, key);
  const stream = `sandbox:sbx_${generatePrivateKey().slice(2, 34)}`;
  const { answer } = await executeCharging(till, call, commandFrom(call, { stream, type: 'OpenSandbox', body }));
  return String((answer['sandbox'] as JsonObject)['id']);
}

/** Signs one way of the newest offer; usable from now on by the clock of the chain. */
export async function sign(
  { test, chain }: TreasuryWorld,
  request: ChargedRequest,
  { payer, choice, nonce }: { payer: PrivateKeyAccount; choice: number; nonce?: Hex | undefined },
): Promise<string> {
  const accepted = request.offer[choice % request.offer.length]!;
  const nowS = (await chain.blockTime((await chain.head()).number))!;
  const authorization = await signAuthorization(test, payer, {
    ...{ value: BigInt(accepted.amount), validBefore: nowS + USABLE_S },
    nonce: nonce ?? (accepted.extra.authNonce as Hex),
  });
  const header = paymentHeaderOf(accepted, authorization);
  request.payments.push({ header, authorization, payer });
  return header;
}
