/**
 * The caller's own wallet on the platform's chain, and development dollars to pay with.
 * Promise: what it holds is read from the chain; nothing here touches the caller's account but the receipt of the gift.
 */
import type { Chain } from '@tallystick/engine/adapters/chain';
import { WalletService } from '@tallystick/proto';
import { implement, refuse } from '@tallystick/surface';
import { askGift, connected, type Desk } from '../deposits/desk.ts';
import { executeFor } from '../outcome.ts';
import { networkOf } from './deposits.ts';

export interface WalletOptions {
  development: boolean;
  /** Absent where no chain is connected. */
  desk: Desk | undefined;
}

export const walletHandlers = ({ development, desk }: WalletOptions) =>
  implement(WalletService, {
    async getWallet(_request, call) {
      return walletOf(await connected(desk).link.chain(), call.principal!.id);
    },
    async fundWallet({ amountMicros }, call) {
      if (!development || !call.remoteIsLoopback) throw refuse('DEVELOPMENT_ONLY');
      const own = connected(desk);
      const principal = call.principal!.id;
      const reference = `wallet ${principal} ${call.idempotencyKey}`;
      await executeFor(own.engine, call, {
        principal: 'platform',
        key: `gift:${reference}`,
        fingerprint: call.fingerprint,
        grant: call.principal!.keyId,
        stream: `account:${principal}`,
        type: 'RequestGift',
        body: { amount_micros: String(amountMicros), reference },
      });
      const to = addressOf(principal);
      await askGift(own, { to, micros: amountMicros, reference });
      return walletOf(await own.link.chain(), principal);
    },
  });

async function walletOf(chain: Chain, principal: string) {
  const address = addressOf(principal);
  const balanceMicros = await chain.balanceOf(address);
  return { address, network: networkOf(chain), token: chain.config.token.toLowerCase(), balanceMicros };
}

/** Of `eip155:<chain id>:<address>`: the address is the same on every chain. */
const addressOf = (principal: string) => principal.slice(principal.lastIndexOf(':') + 1) as `0x${string}`;
