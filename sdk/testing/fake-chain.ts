/**
 * What the platform in memory says of a chain: where its till is, and what wallets hold.
 * Promise: nothing moves; a wallet holds what was given to it, less what the till took.
 */
import { DepositService, WalletService } from '@tallystick/proto';
import { type Call, implement, refuse } from '@tallystick/surface';
import type { FakeTill } from './fake-till.ts';

export function fakeChainOf(till: FakeTill, changed: (method: string, call: Call) => void) {
  const given = new Map<string, bigint>();
  const noChain = (): never => {
    throw refuse('NO_CHAIN');
  };
  const walletOf = ({ principal }: Call) => {
    const address = principal!.id.slice(principal!.id.lastIndexOf(':') + 1);
    const taken = [...till.taken].filter(([slot]) => slot.toLowerCase().startsWith(address));
    const spentMicros = taken.reduce((sum, [, micros]) => sum + micros, 0n);
    return {
      address,
      network: till.network,
      token: till.asset,
      balanceMicros: (given.get(address) ?? 0n) - spentMicros,
    };
  };
  return [
    implement(DepositService, {
      createDepositAddress: noChain,
      listDeposits: noChain,
      claimDeposit: noChain,
      getReserves: () => ({ network: till.network, token: till.asset, treasury: till.payTo, isEqual: true }),
    }),
    implement(WalletService, {
      getWallet: (_request, call) => walletOf(call),
      fundWallet: ({ amountMicros }, call) => {
        changed('fundWallet', call);
        const { address } = walletOf(call);
        given.set(address, (given.get(address) ?? 0n) + amountMicros);
        return walletOf(call);
      },
    }),
  ];
}
