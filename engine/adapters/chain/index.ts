/**
 * The one door to chains.
 * Promise: whoever reads a chain reads it through here.
 */
export { type Authorization, type ChainCall, gasMaxOf, SETTLEMENT_GAS } from './calls.ts';
export {
  type Chain,
  type ChainConfig,
  depositAddressOf,
  openChain,
  saltOf,
} from './chain.ts';
export { type ContractWallets, personalDigest, SIGNATURE_BYTES_MAX, type SignatureVerdict } from './contract-wallet.ts';
export { assertPlaces, type Places, placesOf } from './contracts.ts';
export { type BlockRef, ChainFault, type ChainFaultKind } from './endpoints.ts';
export { askFaucet, type FaucetGift } from './faucet-client.ts';
export { bumpedFees, FEE_WEI_MAX, type Fees } from './fees.ts';
export { affordableSettlements } from './gas-money.ts';
export { ChainLink } from './link.ts';
export { bareSignature, isSignedByKey } from './payment-check.ts';
export {
  type RoleSigner,
  roleSigner,
  type SignedTransaction,
  type SignerRole,
  type SigningTerms,
  termsOf,
} from './role-signer.ts';
export type { ChainSender, MinedTransaction } from './sender.ts';
export { type ChainSettings, readChainIds, readChainSettings } from './settings.ts';
export type { TransferSeen } from './transfers.ts';
