/**
 * Login with a wallet: Sign-In with Ethereum (EIP-4361), answered by an API key.
 * Promise: signs only for the domain, uri and nonce that the platform named, and the address that asked.
 */
import { formatSiwe } from '@tallystick/kernel';
import type { ApiKey, Nonce } from '@tallystick/proto';
import { type Asked, askedOf } from './ids.ts';
import { type Connection, refuseHere, servicesOf } from './services.ts';
import type { Signer } from './wallet.ts';

export interface LoginOptions extends Pick<Connection, 'baseUrl' | 'fetch' | 'onRetry'>, Asked {
  signer: Signer;
  /** What the key shall be allowed; absent: `USUAL_SCOPES`. `WITHDRAW_SCOPE`, which lets money out, must be named. */
  scopes?: readonly string[];
  /** How long the key lives; absent: 30 days. */
  ttlMs?: bigint;
  /** A name for the key, shown in lists. */
  label?: string;
  /** EIP-155 chain to name; absent: the first that the platform accepts. A contract wallet names the one on which it stands. */
  chainId?: number;
}

/** An API key with its secret, which is told this once. */
export interface Login extends ApiKey {
  secret: string;
}

const STATEMENT = 'Sign in to Tallystick. This does not move funds.';

/**
 * Makes an API key.
 * @errors ApiError `login_*` when the platform refuses the message; `login_domain_refused` before anything is signed when it names a foreign domain, or is no platform
 * @example
 * const { secret } = await login({ baseUrl, signer: signerOfPrivateKey(key) });
 * const tally = connect({ baseUrl, apiKey: secret });
 */
export async function login(options: LoginOptions): Promise<Login> {
  const { auth } = servicesOf(options);
  const nonce = await auth.createNonce({ address: options.signer.address }, askedOf(options));
  refuseForeignDomain(nonce, options.baseUrl);
  const message = loginMessage(nonce, options);
  const request = {
    message,
    signature: await options.signer.signPersonal(message),
    scopes: [...(options.scopes ?? [])],
    label: options.label ?? '',
    ...(options.ttlMs === undefined ? {} : { ttlMs: options.ttlMs }),
  };
  const key = await auth.verifyLogin(request, askedOf(options));
  if (!key.secret) throw new TypeError('the platform answered the login without a key');
  return { ...key, secret: key.secret };
}

function loginMessage(nonce: Nonce, { signer, chainId }: LoginOptions): string {
  const chain = chainId ?? Number(nonce.chainIds[0] ?? 1n);
  return formatSiwe({
    domain: nonce.domain,
    address: signer.address,
    statement: STATEMENT,
    uri: nonce.uri,
    version: '1',
    chainId: chain,
    nonce: nonce.nonce,
    issuedAt: new Date().toISOString(),
    ...(nonce.expiresAt ? { expirationTime: timestampText(nonce.expiresAt) } : {}),
  });
}

const timestampText = ({ seconds, nanos }: { seconds: bigint; nanos: number }): string =>
  new Date(Number(seconds) * 1000 + Math.floor(nanos / 1_000_000)).toISOString();

/** A platform that passes another site's challenge on would get a signature that works there. @errors throws ApiError `login_domain_refused` @internal */
export function refuseForeignDomain({ domain }: { domain: string }, baseUrl: string): void {
  const { host, hostname } = new URL(baseUrl);
  const named = URL.parse(`http://${domain}`)?.hostname;
  if (named === hostname || (named !== undefined && isLoopback(named) && isLoopback(hostname))) return;
  const asks = named === undefined ? 'answers as no platform does' : `asks to sign for ${domain}`;
  throw refuseHere('LOGIN_DOMAIN_REFUSED', {
    detail: `what is at ${host} ${asks}: refused, nothing was signed`,
    suggestion: 'Check the address of the platform: npm start prints it as api.',
    facts: { domain, expected: host },
  });
}

const isLoopback = (name: string): boolean => name === 'localhost' || name === '127.0.0.1' || name === '[::1]';
