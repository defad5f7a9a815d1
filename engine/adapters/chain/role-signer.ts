/**
 * A key that signs transactions for one purpose.
 * Promise: it signs the calls of its role and nothing else, never with native money, never for another chain than its own.
 */
import { type Address, getAddress, type Hex, keccak256, parseTransaction } from 'viem';
import { type PrivateKeyAccount, privateKeyToAccount } from 'viem/accounts';
import { type CallPlaces, type ChainCall, encodeCall } from './calls.ts';
import { FEE_WEI_MAX, type Fees } from './fees.ts';

/** `relayer`: holds money for gas alone; carries authorizations and sweeps. `treasury`: holds the dollars; transfers them. */
export type SignerRole = 'relayer' | 'treasury';

const CALLS_OF: Record<SignerRole, readonly ChainCall['kind'][]> = {
  relayer: ['authorization', 'sweep'],
  treasury: ['transfer'],
};
export interface SigningTerms extends Fees {
  nonce: bigint;
  gas: bigint;
}

/** What signed bytes of ours offer. @errors throws TypeError for bytes of others */
export function termsOf(raw: Hex): SigningTerms {
  const parsed = parseTransaction(raw);
  if (parsed.type !== 'eip1559') throw new TypeError(`a transaction of type ${parsed.type}`);
  const { nonce = 0, gas = 0n, maxFeePerGas = 0n, maxPriorityFeePerGas = 0n } = parsed;
  return { nonce: BigInt(nonce), gas, maxFeeWei: maxFeePerGas, priorityWei: maxPriorityFeePerGas };
}

export interface SignedTransaction {
  hash: Hex;
  /** The signed bytes. */
  raw: Hex;
}

export interface RoleSigner {
  readonly role: SignerRole;
  /** Lower case. */
  readonly address: Address;
  /** The same terms give the same bytes. @errors rejects with TypeError or RangeError for what its role does not sign */
  sign(call: ChainCall, terms: SigningTerms): Promise<SignedTransaction>;
}

export interface RoleSignerOptions {
  role: SignerRole;
  /** 32 bytes. */
  seed: Uint8Array;
  chainId: number;
  places: CallPlaces;
}

/** @errors throws Error when a treasury's key is not the key of the treasury */
export function roleSigner({ role, seed, chainId, places }: RoleSignerOptions): RoleSigner {
  const account = privateKeyToAccount(`0x${Buffer.from(seed).toString('hex')}`);
  const address = account.address.toLowerCase() as Address;
  if (role === 'treasury' && !isSame(address, places.treasury))
    throw new Error(
      `the setting CHAIN_TREASURY_KEY_FILE holds the key of ${address}; the treasury is ${places.treasury} (CHAIN_TREASURY)`,
    );
  if (role === 'relayer' && isSame(address, places.treasury))
    throw new Error(
      `the setting CHAIN_RELAYER_KEY_FILE holds the key of CHAIN_TREASURY, ${address}; it must be a key of its own`,
    );
  return { role, address, sign: (call, terms) => sign({ account, role, chainId, places }, call, terms) };
}

interface Holder {
  account: PrivateKeyAccount;
  role: SignerRole;
  chainId: number;
  places: CallPlaces;
}

async function sign({ account, role, chainId, places }: Holder, call: ChainCall, terms: SigningTerms) {
  assertAllowed(role, call, places);
  const { nonce, gas, maxFeeWei, priorityWei } = terms;
  const { to, data, gasMax } = encodeCall(call, places);
  if (gas > gasMax || maxFeeWei > FEE_WEI_MAX || priorityWei > maxFeeWei)
    throw new RangeError(`at most ${gasMax} gas for ${FEE_WEI_MAX} wei each, not ${gas} for ${maxFeeWei}`);
  const raw = await account.signTransaction({
    type: 'eip1559',
    chainId,
    nonce: Number(nonce),
    to,
    data,
    value: 0n,
    gas,
    maxFeePerGas: maxFeeWei,
    maxPriorityFeePerGas: priorityWei,
  });
  return { hash: keccak256(raw), raw };
}

function assertAllowed(role: SignerRole, call: ChainCall, { treasury }: CallPlaces): void {
  if (!CALLS_OF[role].includes(call.kind)) throw new TypeError(`a ${role} signs no ${call.kind}`);
  if (call.kind === 'authorization' && !isSame(call.authorization.to, treasury))
    throw new TypeError(`a relayer carries payments to the treasury, not to ${call.authorization.to}`);
  if (call.kind === 'transfer' && isSame(call.to, treasury))
    throw new TypeError('the treasury transfers nothing to itself');
}

const isSame = (a: Address, b: Address): boolean => getAddress(a) === getAddress(b);
