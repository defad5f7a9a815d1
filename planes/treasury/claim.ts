/**
 * Who may claim a deposit of nobody known, and what there is to claim of it.
 * Promise: a deposit is told of to whoever has it and, while nobody has, to whoever sent it; to others there is none.
 */
import { type Rejection, SUSPENSE } from '@tallystick/kernel';
import type { DepositState, DepositStatus } from './deposit.ts';
import { ownAddressOf } from './payout-address.ts';

/** It is theirs already, or nobody's yet and sent by them. */
export const mayClaim = (principal: string, { payer, principal: holder }: DepositState): boolean =>
  holder === principal || (holder === SUSPENSE && payer === ownAddressOf(principal));

/** `isTaken`: somebody's claim is on its way to the deposit. Undefined when it can be claimed. */
export function claimRefusal({ id, status }: DepositState, isTaken: boolean): Rejection | undefined {
  const now: DepositStatus = isTaken && status === 'parked' ? 'credited' : status;
  return now === 'parked' ? undefined : { rejection: 'DEPOSIT_NOT_PARKED', facts: { id, status: now } };
}
