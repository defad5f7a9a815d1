/**
 * What a payer signs by ERC-3009, as EIP-712 types: `types` of viem's `signTypedData`, with `primaryType` of the same name.
 * Promise: the fields and their order are the standard's; a signature over others moves nothing.
 */
export const TRANSFER_TYPES = {
  TransferWithAuthorization: [
    { name: 'from', type: 'address' },
    { name: 'to', type: 'address' },
    { name: 'value', type: 'uint256' },
    { name: 'validAfter', type: 'uint256' },
    { name: 'validBefore', type: 'uint256' },
    { name: 'nonce', type: 'bytes32' },
  ],
} as const;
