/**
 * Somebody with a brand-new wallet who logs in and brings money.
 * Promise: goes through the public door like everybody else.
 */
import { randomBytes } from 'node:crypto';
import {
  type Connection,
  connect,
  type Login,
  login,
  type Signer,
  signerOfPrivateKey,
  type Tally,
} from '@tallystick/sdk';

const PRIVATE_KEY_BYTES = 32;

export interface Newcomer {
  /** Of the wallet, 32 bytes. */
  privateKey: Uint8Array;
  signer: Signer;
  key: Login;
  tally: Tally;
}

export interface NewcomerOptions extends Pick<Connection, 'attemptsMax'> {
  /** Absent: nothing is deposited. */
  depositMicros?: bigint;
  scopes?: readonly string[];
}

export async function newcomer(baseUrl: string, options: NewcomerOptions = {}): Promise<Newcomer> {
  const { depositMicros = 0n, scopes, attemptsMax } = options;
  const privateKey = randomBytes(PRIVATE_KEY_BYTES);
  const signer = signerOfPrivateKey(privateKey);
  const key = await login({ baseUrl, signer, ...(scopes ? { scopes } : {}) });
  const tally = connect({ baseUrl, apiKey: key.secret, ...(attemptsMax === undefined ? {} : { attemptsMax }) });
  if (depositMicros > 0n) await tally.depositDevelopment(depositMicros);
  return { privateKey, signer, key, tally };
}
