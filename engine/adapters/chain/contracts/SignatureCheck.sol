// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// Asks a contract wallet whether it signed a digest (ERC-1271), after making it where it does not stand yet (ERC-6492).
/// Only ever called, never sent: its constructor's answer is one word, and nothing that is asked can make it revert.
contract SignatureCheck {
    uint256 private constant MAKE_GAS = 5_000_000;
    uint256 private constant ASK_GAS = 3_000_000;
    uint256 private constant OWN_GAS = 100_000;
    bytes32 private constant SIGNED = bytes32(bytes4(0x1626ba7e));

    uint256 private constant NO_CONTRACT = 1;
    uint256 private constant DOES_NOT_HOLD = 2;
    uint256 private constant HOLDS = 3;
    uint256 private constant TOO_LITTLE_GAS = 4;

    constructor(address wallet, bytes32 digest, address factory, bytes memory making, bytes memory signature) {
        if (wallet.code.length == 0 && factory != address(0)) {
            if (lacksGas(MAKE_GAS)) answer(TOO_LITTLE_GAS);
            assembly {
                pop(call(MAKE_GAS, factory, 0, add(making, 32), mload(making), 0, 0))
            }
        }
        if (wallet.code.length == 0) answer(NO_CONTRACT);
        if (lacksGas(ASK_GAS)) answer(TOO_LITTLE_GAS);
        answer(holds(wallet, abi.encodeWithSelector(bytes4(SIGNED), digest, signature)) ? HOLDS : DOES_NOT_HOLD);
    }

    /// The whole word must be right: an echo of the question begins with the same four bytes.
    function holds(address wallet, bytes memory question) private view returns (bool) {
        bool done;
        uint256 size;
        bytes32 word;
        assembly {
            mstore(0, 0)
            done := staticcall(ASK_GAS, wallet, add(question, 32), mload(question), 0, 32)
            size := returndatasize()
            word := mload(0)
        }
        return done && size >= 32 && word == SIGNED;
    }

    /// A call is given at most 63 of 64 parts of what is left, silently.
    function lacksGas(uint256 wanted) private view returns (bool) {
        return gasleft() < (wanted * 64) / 63 + OWN_GAS;
    }

    function answer(uint256 word) private pure {
        assembly {
            mstore(0, word)
            return(0, 32)
        }
    }
}
