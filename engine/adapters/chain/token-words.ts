/**
 * What a token means by an error of its own, in words.
 * Promise: the errors of OpenZeppelin's ERC-20 and ERC-3009 come with their amounts and times; of any other nothing is made up.
 * @source ERC-6093, ERC-3009, OpenZeppelin Contracts 5
 */
import { formatUsd } from '@tallystick/kernel';
import { type BaseError, type DecodeErrorResultReturnType, decodeErrorResult, type Hex, isHex, parseAbi } from 'viem';

const ERRORS_ABI = parseAbi([
  'error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed)',
  'error ERC20InvalidSender(address sender)',
  'error ERC20InvalidReceiver(address receiver)',
  'error ERC3009InvalidAuthorizationTime(uint256 validAfter, uint256 validBefore)',
  'error ERC3009InvalidSignature()',
  'error ERC3009UsedAuthorization(address authorizer, bytes32 nonce)',
  'error ECDSAInvalidSignature()',
  'error ECDSAInvalidSignatureLength(uint256 length)',
  'error ECDSAInvalidSignatureS(bytes32 s)',
  'error EnforcedPause()',
]);

/** Undefined when no contract said anything, or nothing that is known here. */
export function tokenWords(fault: BaseError): string | undefined {
  const data = returnedBy(fault);
  if (data === undefined) return undefined;
  try {
    return wordsOf(decodeErrorResult({ abi: ERRORS_ABI, data }));
  } catch {
    return undefined; // another contract's, or cut short
  }
}

/** What the contract returned, as the endpoint handed it on. */
function returnedBy(fault: BaseError): Hex | undefined {
  let found: Hex | undefined;
  fault.walk((cause) => {
    const { data } = cause as { data?: unknown };
    if (isHex(data)) found = data;
    return found !== undefined;
  });
  return found;
}

function wordsOf(error: DecodeErrorResultReturnType<typeof ERRORS_ABI>): string | undefined {
  switch (error.errorName) {
    case 'ERC20InsufficientBalance': {
      const [sender, balance, needed] = error.args;
      return `${sender} holds ${formatUsd(balance)} of it, and ${formatUsd(needed)} is to leave`;
    }
    case 'ERC20InvalidSender':
      return `nothing can leave ${error.args[0]}`;
    case 'ERC20InvalidReceiver':
      return `nothing can be sent to ${error.args[0]}`;
    case 'ERC3009InvalidAuthorizationTime': {
      const [afterS, beforeS] = error.args;
      return `it is good after second ${afterS} and before second ${beforeS}, and the chain’s clock is not there`;
    }
    case 'ERC3009InvalidSignature':
      return 'its signature is not its payer’s, of these terms';
    case 'ERC3009UsedAuthorization':
      return `the nonce ${error.args[1]} of ${error.args[0]} is used or was taken back`;
    case 'ECDSAInvalidSignature':
    case 'ECDSAInvalidSignatureLength':
    case 'ECDSAInvalidSignatureS':
      return 'its signature is none';
    case 'EnforcedPause':
      return 'its owner has stopped all transfers';
    default:
      return undefined;
  }
}
