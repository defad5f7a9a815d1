/**
 * Balances with how long they last, and development money.
 * Promise: a development deposit takes the ledger path of a real one, and exists only where it is allowed.
 */
import { type Engine, readBalances, readStream } from '@tallystick/engine';
import { type JsonObject, userAccount, withdrawingAccount, withdrawnAccount } from '@tallystick/kernel';
import { BillingService } from '@tallystick/proto';
import { type Call, implement, refuse } from '@tallystick/surface';
import type { AccountState } from '@tallystick/treasury';
import { creditOf, type Desk, giveDevelopmentMoney } from '../deposits/desk.ts';
import { burningMachines, forecastMessage, pendingMicros } from '../forecast.ts';
import { freshId } from '../ids.ts';
import { executeFor } from '../outcome.ts';
import { timestampFromUs } from '../view-parts.ts';

export interface BillingOptions {
  engine: Engine;
  development: boolean;
  /** Absent where no chain is connected. */
  desk: Desk | undefined;
}

export const billingHandlers = ({ engine, development, desk }: BillingOptions) =>
  implement(BillingService, {
    async getBalance(_request, call) {
      const principal = call.principal!.id;
      const names = [userAccount(principal), withdrawnAccount(principal), withdrawingAccount(principal)];
      const [rows, head, machines, pending] = await Promise.all([
        readBalances(engine, names),
        readStream(engine, `account:${principal}`),
        burningMachines(engine, principal),
        pendingMicros(engine, principal),
      ]);
      const [account, withdrawn, withdrawing] = names.map((name) => rows.find((row) => row.account === name));
      const balanceMicros = (account?.creditsPostedMicros ?? 0n) - (account?.debitsPostedMicros ?? 0n);
      const depositedMicros = BigInt((head?.state as unknown as AccountState | undefined)?.deposited_micros ?? '0');
      const [withdrawnMicros, withdrawingMicros] = [
        withdrawn?.availableMicros ?? 0n,
        withdrawing?.availableMicros ?? 0n,
      ];
      const availableMicros = account?.availableMicros ?? 0n;
      return {
        principal,
        balanceMicros,
        heldMicros: account?.debitsPendingMicros ?? 0n,
        availableMicros,
        depositedMicros,
        spentMicros: depositedMicros - balanceMicros - withdrawnMicros - withdrawingMicros,
        withdrawnMicros,
        withdrawingMicros,
        ...forecastMessage(machines, availableMicros, engine.nowUs()),
        pendingMicros: pending,
      };
    },
    async createDevelopmentDeposit({ amountMicros }, call) {
      if (!development || !call.remoteIsLoopback) throw refuse('DEVELOPMENT_ONLY');
      return desk ? onChain(desk, call, amountMicros) : fromNowhere(engine, call, amountMicros);
    },
  });

/** A transfer on the development chain, credited as any other is. */
async function onChain(desk: Desk, call: Call, amountMicros: bigint) {
  const principal = call.principal!.id;
  const reference = `${principal} ${call.idempotencyKey}`;
  await executeFor(desk.engine, call, {
    principal: 'platform',
    key: `gift:${reference}`,
    fingerprint: call.fingerprint,
    grant: call.principal!.keyId,
    stream: `account:${principal}`,
    type: 'RequestGift',
    body: { amount_micros: String(amountMicros), reference },
  });
  const deposit = await giveDevelopmentMoney(desk, { principal, micros: amountMicros, reference });
  const { receiptId, atUs, balanceMicros } = await creditOf(desk.engine, deposit);
  return {
    id: deposit.id,
    principal,
    amountMicros,
    source: deposit.rail,
    creditedAt: timestampFromUs(atUs),
    balanceMicros,
    receiptId,
  };
}

/** On a platform without a chain. */
async function fromNowhere(engine: Engine, call: Call, amountMicros: bigint) {
  const principal = call.principal!.id;
  const body = {
    deposit_id: freshId('dep'),
    amount_micros: String(amountMicros),
    source: 'development',
    reference: call.principal!.keyId,
  };
  const { answer, receiptId } = await executeFor(engine, call, {
    principal: 'platform',
    key: `deposit:${principal}:${call.idempotencyKey}`,
    fingerprint: call.fingerprint,
    grant: call.principal!.keyId,
    stream: `account:${principal}`,
    type: 'CreditDeposit',
    body,
  });
  return { ...depositMessage(answer, principal), receiptId };
}

/** What a credit or a claim answers, as a message. */
export const depositMessage = (answer: JsonObject, principal: string) => ({
  id: String(answer['deposit_id']),
  principal,
  amountMicros: BigInt(String(answer['amount_micros'])),
  source: String(answer['source']),
  creditedAt: timestampFromUs(String(answer['credited_at_us'])),
  balanceMicros: BigInt(String(answer['balance_micros'])),
});
