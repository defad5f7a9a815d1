/**
 * Whether a wallet has what it is about to sign away.
 * Promise: what is known not to be there is not signed: a signed payment counts against the limits, whatever becomes of it.
 */
import { formatUsd } from '@tallystick/kernel';
import type { PaymentOption } from '@tallystick/surface/client';

/** What a wallet holds of the token that is asked, in micros; undefined where it is not known. */
export type Holds = (address: string, option: PaymentOption) => Promise<bigint | undefined>;

/** What is lacking, in words; undefined when it is there, or nobody knows. */
export async function lackOf(
  holds: Holds | undefined,
  address: string,
  option: PaymentOption,
): Promise<string | undefined> {
  const held = await holds?.(address, option);
  if (held === undefined || held >= option.amountMicros) return undefined;
  const money = `${formatUsd(held)}, and ${formatUsd(option.amountMicros)} is asked`;
  return `the wallet holds ${money}: put dollars of ${option.asset} on ${option.network} into ${address}`;
}
