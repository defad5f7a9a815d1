/**
 * The one door to chains.
 * Promise: whoever reads a chain reads it through here.
 */
export {
  type BlockRef,
  type Chain,
  type ChainConfig,
  ChainFault,
  type ChainFaultKind,
  depositAddressOf,
  openChain,
  saltOf,
  type TransferSeen,
} from './chain.ts';
export { askFaucet, type FaucetGift } from './faucet-client.ts';
export { ChainLink } from './link.ts';
export { type ChainSettings, readChainSettings } from './settings.ts';
