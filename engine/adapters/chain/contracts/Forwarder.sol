// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// One depositor's address: whatever it holds can go to the treasury and nowhere else.
contract Forwarder {
    using SafeERC20 for IERC20;

    address public immutable treasury;

    constructor(address treasury_) {
        treasury = treasury_;
    }

    function sweep(IERC20 token) external {
        uint256 balance = token.balanceOf(address(this));
        if (balance > 0) token.safeTransfer(treasury, balance);
    }
}

/// Forwarders at addresses that are known, and can receive, before anything stands there.
contract ForwarderFactory {
    function sweep(bytes32[] calldata salts, IERC20 token, address treasury) external {
        for (uint256 i; i < salts.length; i++) {
            address at = predict(salts[i], treasury);
            if (at.code.length == 0) new Forwarder{salt: salts[i]}(treasury);
            Forwarder(at).sweep(token);
        }
    }

    function predict(bytes32 salt, address treasury) public view returns (address) {
        bytes32 code = keccak256(abi.encodePacked(type(Forwarder).creationCode, abi.encode(treasury)));
        return address(uint160(uint256(keccak256(abi.encodePacked(bytes1(0xff), address(this), salt, code)))));
    }
}
