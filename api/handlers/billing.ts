/**
 * Balances, and development money.
 * Promise: a development deposit takes the ledger path of a real one, and exists only where it is allowed.
 */
import { type Engine, readBalances, readStream } from '@tallystick/engine';
import { userAccount } from '@tallystick/kernel';
import { BillingService } from '@tallystick/proto';
import { implement, refuse } from '@tallystick/surface';
import type { AccountState } from '@tallystick/treasury';
import { freshId } from '../ids.ts';
import { executeFor } from '../outcome.ts';
import { timestampFromUs } from '../view-parts.ts';

export interface BillingOptions {
  engine: Engine;
  development: boolean;
}

export const billingHandlers = ({ engine, development }: BillingOptions) =>
  implement(BillingService, {
    async getBalance(_request, call) {
      const principal = call.principal!.id;
      const account = userAccount(principal);
      const [balances, head] = await Promise.all([
        readBalances(engine, [account]),
        readStream(engine, `account:${principal}`),
      ]);
      const balanceMicros = (balances[0]?.creditsPostedMicros ?? 0n) - (balances[0]?.debitsPostedMicros ?? 0n);
      const depositedMicros = BigInt((head?.state as unknown as AccountState | undefined)?.deposited_micros ?? '0');
      return {
        principal,
        balanceMicros,
        heldMicros: balances[0]?.debitsPendingMicros ?? 0n,
        availableMicros: balances[0]?.availableMicros ?? 0n,
        depositedMicros,
        spentMicros: depositedMicros - balanceMicros,
      };
    },
    async createDevelopmentDeposit({ amountMicros }, call) {
      if (!development || !call.remoteIsLoopback) throw refuse('DEVELOPMENT_ONLY');
      const principal = call.principal!.id;
      const id = freshId('dep');
      const body = {
        deposit_id: id,
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
      return {
        id: String(answer['deposit_id']),
        principal,
        amountMicros: BigInt(String(answer['amount_micros'])),
        source: String(answer['source']),
        creditedAt: timestampFromUs(String(answer['credited_at_us'])),
        balanceMicros: BigInt(String(answer['balance_micros'])),
        receiptId,
      };
    },
  });
