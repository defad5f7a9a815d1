/**
 * The three calls that this house ever signs.
 * Promise: a call says what it is; where it goes stands in the chain's settings, and no call carries native money.
 */
import { type Address, encodeFunctionData, type Hex, parseAbi } from 'viem';

export const CALLS_ABI = parseAbi([
  'function transfer(address to, uint256 value) returns (bool)',
  'function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature)',
  'function authorizationState(address authorizer, bytes32 nonce) view returns (bool)',
  'function sweep(bytes32[] salts, address token, address treasury)',
]);

/** A payment that its payer signed (ERC-3009) and anybody may carry to the chain. Amounts in micros, times in seconds since 1970. */
export interface Authorization {
  from: Address;
  to: Address;
  value: bigint;
  validAfter: bigint;
  validBefore: bigint;
  nonce: Hex;
  /** Of a key (65 bytes), or whatever a contract wallet takes. */
  signature: Hex;
}

/** `transfer`: dollars of the treasury to somebody; `authorization`: somebody's dollars to the treasury; `sweep`: from deposit addresses to it. */
export type ChainCall =
  | { kind: 'transfer'; to: Address; micros: bigint }
  | { kind: 'authorization'; authorization: Authorization }
  | { kind: 'sweep'; salts: readonly Hex[] };

export interface CallPlaces {
  token: Address;
  treasury: Address;
  factory: Address;
}

/** What a transaction says: to whom, and which bytes. */
export interface EncodedCall {
  to: Address;
  data: Hex;
  /** Whatever it says that it takes, it gets no more: a contract wallet could burn as much as it is given. */
  gasMax: bigint;
}

/** A settlement of one payment gets no more, and takes less also for the usual contract wallets. */
export const SETTLEMENT_GAS = 300_000n;
const TRANSFER_GAS = 200_000n;
const SWEEP_GAS = 100_000n;
/** A new forwarder, its first transfer included, was measured at 92 thousand. */
const SWEEP_EACH_GAS = 200_000n;

/** The most gas that a call is ever sent with. */
export const gasMaxOf = (call: ChainCall, places: CallPlaces): bigint => encodeCall(call, places).gasMax;

export function encodeCall(call: ChainCall, { token, treasury, factory }: CallPlaces): EncodedCall {
  if (call.kind === 'transfer') {
    const data = encodeFunctionData({ abi: CALLS_ABI, functionName: 'transfer', args: [call.to, call.micros] });
    return { to: token, data, gasMax: TRANSFER_GAS };
  }
  if (call.kind === 'sweep') {
    const args = [call.salts, token, treasury] as const;
    const gasMax = SWEEP_GAS + SWEEP_EACH_GAS * BigInt(call.salts.length);
    return { to: factory, data: encodeFunctionData({ abi: CALLS_ABI, functionName: 'sweep', args }), gasMax };
  }
  const { from, to, value, validAfter, validBefore, nonce, signature } = call.authorization;
  const args = [from, to, value, validAfter, validBefore, nonce, signature] as const;
  const data = encodeFunctionData({ abi: CALLS_ABI, functionName: 'transferWithAuthorization', args });
  return { to: token, data, gasMax: SETTLEMENT_GAS };
}
