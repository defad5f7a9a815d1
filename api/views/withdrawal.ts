/**
 * Withdrawals and payout addresses as the contract shows them.
 * Promise: says what the log says; what the chain has not concluded is not told as done.
 */
import { WithdrawalStatus } from '@tallystick/proto';
import { ownAddressOf, type PayoutState, type WithdrawalState } from '@tallystick/treasury';
import { optionalTime, timestampFromUs } from '../view-parts.ts';

const STATUSES: Record<string, WithdrawalStatus> = {
  held: WithdrawalStatus.HELD,
  signed: WithdrawalStatus.SIGNED,
  final: WithdrawalStatus.FINAL,
  returned: WithdrawalStatus.RETURNED,
};
const ADDRESS = /^0x[0-9a-f]{40}$/;

const networkOfRail = (rail: string): string => rail.slice(0, rail.indexOf('/'));

export function withdrawalMessage(state: WithdrawalState, receiptId: string) {
  const { id, principal, to, rail, broadcast } = state;
  return {
    ...{ id, principal, to, receiptId },
    amountMicros: BigInt(state.amount_micros),
    status: STATUSES[state.status] ?? WithdrawalStatus.UNSPECIFIED,
    network: networkOfRail(rail),
    tx: broadcast.hash || (broadcast.attempts.at(-1)?.hash ?? ''),
    ...(broadcast.block === '' ? {} : { block: BigInt(broadcast.block) }),
    requestedAt: timestampFromUs(state.requested_at_us),
  };
}

export function payoutMessage({ address, rail, status, usable_from_us }: PayoutState, nowUs: bigint) {
  const isProven = status === 'proven';
  return {
    address,
    network: networkOfRail(rail),
    isOwn: false,
    ...optionalTime('usableFrom', isProven ? usable_from_us : null),
    isUsable: isProven && nowUs >= BigInt(usable_from_us),
  };
}

/** None for whoever logs in with something else than an address. */
export function ownPayoutAddress(principal: string, network: string) {
  const address = ownAddressOf(principal);
  return ADDRESS.test(address) ? [{ address, network, isOwn: true, isUsable: true }] : [];
}
