/**
 * Asks the chain whether a contract wallet signed a login.
 * Promise: bounded in time and in number, and whoever cannot be asked is an outage, never a refusal.
 */
import { ChainFault, type ChainLink, personalDigest } from '@tallystick/engine/adapters/chain';

/** Anybody may make us ask. */
const CHECKS_AT_ONCE_MAX = 16;
const CHECK_MS_MAX = 5_000;

/** A login that its address's own key did not sign. */
export interface LoginClaim {
  chainId: number;
  address: string;
  message: string;
  signature: string;
}

/** What the chain said, as of which block; without one when no chain of that id is connected. */
export interface Judgement {
  holds: boolean;
  rail: string;
  block: string;
  blockHash: string;
}

/** @errors rejects with ChainFault when the chain is away, slow or of two minds, or too many are being asked */
export type JudgeSignature = (claim: LoginClaim) => Promise<Judgement>;

export function signatureJudge(link: Pick<ChainLink, 'chain'>, checkMsMax = CHECK_MS_MAX): JudgeSignature {
  let asking = 0;
  return async (claim) => {
    if (asking >= CHECKS_AT_ONCE_MAX)
      throw new ChainFault('unreachable', `${asking} signatures are being checked, the cap is ${CHECKS_AT_ONCE_MAX}`);
    asking += 1;
    const answer = judge(link, claim).finally(() => {
      asking -= 1;
    });
    return within(checkMsMax, answer);
  };
}

async function judge(
  link: Pick<ChainLink, 'chain'>,
  { chainId, address, message, signature }: LoginClaim,
): Promise<Judgement> {
  const chain = await link.chain();
  if (chain.chainId !== chainId) return { holds: false, rail: '', block: '', blockHash: '' };
  const { holds, block } = await chain.signatureHolds({
    wallet: address as `0x${string}`,
    digest: personalDigest(message),
    signature: signature as `0x${string}`,
  });
  return { holds, rail: chain.key, block: String(block.number), blockHash: block.hash };
}

async function within<T>(msMax: number, answer: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new ChainFault('unreachable', `no answer in ${msMax} ms`)), msMax);
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
