/**
 * Wallet login and API keys.
 * Promise: a nonce serves one attempt; no chain is asked where the address's own key signed; the secret of a key exists only in the
 * answer that makes it.
 */
import { createHash, randomBytes } from 'node:crypto';
import { type Engine, listStreams, type Outcome, readStream } from '@tallystick/engine';
import type { KeyState } from '@tallystick/identity';
import { type JsonObject, parseSiwe } from '@tallystick/kernel';
import { AuthService, type ErrorCodeName, isErrorCode } from '@tallystick/proto';
import { implement, refuse } from '@tallystick/surface';
import type { JudgeSignature } from '../contract-signatures.ts';
import { freshId } from '../ids.ts';
import { accepted, commandFrom, executeFor } from '../outcome.ts';
import { nextToken, pageOf } from '../page.ts';
import type { SiteOf } from '../site.ts';
import { optionalTime, timestampFromUs } from '../view-parts.ts';

const NONCE_BYTES = 16;
const NONCE_MS = 300_000;
const KEY_TTL_MS_DEFAULT = 30 * 86_400_000;
const SECRET_BYTES = 32;
const KEYS_PER_PAGE = 50;
const US_PER_MS = 1_000n;
const PLATFORM = 'platform';

export interface LoginOptions {
  engine: Engine;
  chainIds: number[];
  /** Principals who may ask for the admin scope. */
  admins: ReadonlySet<string>;
  siteOf: SiteOf;
  /** Asks contract wallets; undefined where no chain is connected. */
  judge: JudgeSignature | undefined;
}

/** Nonces and logins are nobody's mutation: the platform acts, and the nonce itself makes them single. */
export const loginHandlers = ({ engine, chainIds, admins, siteOf, judge }: LoginOptions) =>
  implement(AuthService, {
    async createNonce({ address }, call) {
      const nonce = randomBytes(NONCE_BYTES).toString('hex');
      const expiresAtUs = (BigInt(Date.now()) + BigInt(NONCE_MS)) * US_PER_MS;
      const { domain, uri } = siteOf(call.host);
      const body = {
        address: address.toLowerCase(),
        domain,
        uri,
        chain_ids: chainIds,
        expires_at_us: String(expiresAtUs),
        admins: chainIds.map((id) => `eip155:${id}:${address.toLowerCase()}`).filter((one) => admins.has(one)),
      };
      accepted(
        await engine.execute({
          principal: PLATFORM,
          key: `nonce:${nonce}`,
          stream: `login:${nonce}`,
          type: 'IssueNonce',
          body,
        }),
      );
      return { nonce, expiresAt: timestampFromUs(expiresAtUs), domain, uri, chainIds: chainIds.map(BigInt) };
    },
    async verifyLogin(request) {
      const nonce = /^Nonce: ([0-9a-f]{32})$/m.exec(request.message)?.[1];
      if (!nonce) throw refuse('LOGIN_MESSAGE_MALFORMED', { cause: 'it names no nonce of this platform' });
      await refuseUnissued(engine, nonce);
      const secret = randomBytes(SECRET_BYTES).toString('base64url');
      const keyId = freshId('key');
      const attempted = await attempt(engine, nonce, {
        message: request.message,
        signature: request.signature,
        key_id: keyId,
        key_hash: createHash('sha256').update(secret).digest('hex'),
        scopes: request.scopes,
        label: request.label,
        key_ttl_ms: request.ttlMs === undefined ? KEY_TTL_MS_DEFAULT : Number(request.ttlMs),
        contracts: judge !== undefined,
      });
      const isClaimed = judge !== undefined && attempted['claimed'] !== undefined;
      const login = isClaimed ? await conclude(engine, judge, { nonce, keyId, ...request }) : attempted;
      await openAccount(engine, String(login['principal']));
      const key = accepted(await platformCommand(engine, `key:${keyId}`, 'MintKey', { nonce })).answer[
        'key'
      ] as unknown as KeyState;
      return { ...apiKeyMessage(keyId, key), secret: `tally_${keyId}_${secret}` };
    },
    async listApiKeys(request, call) {
      const page = pageOf(request, KEYS_PER_PAGE);
      const rows = await listStreams(engine, { kind: 'key', owner: call.principal!.id, ...page });
      const keys = rows.map(({ stream, state }) =>
        apiKeyMessage(stream.slice('key:'.length), state as unknown as KeyState),
      );
      return { keys, nextPageToken: nextToken(page, rows.length, rows.at(-1)?.createdPos) };
    },
    async revokeApiKey({ id }, call) {
      const head = await readStream(engine, `key:${id}`);
      if (head?.owner !== call.principal!.id) throw refuse('NOT_FOUND', {}, `there is no key ${id} for you`);
      const command = commandFrom(call, { stream: `key:${id}`, type: 'RevokeKey', body: {} });
      const { answer } = await executeFor(engine, call, command);
      return apiKeyMessage(id, answer['key'] as unknown as KeyState);
    },
  });

/** Nobody in particular asks, so what cannot succeed leaves no receipt. @errors throws LOGIN_NONCE_REFUSED */
async function refuseUnissued(engine: Engine, nonce: string): Promise<void> {
  const status = (await readStream(engine, `login:${nonce}`))?.state['status'];
  if (status !== 'issued' && status !== 'claimed') throw refuse('LOGIN_NONCE_REFUSED');
}

/** Burns the nonce. @errors throws the refusal that the decision names. */
async function attempt(engine: Engine, nonce: string, body: JsonObject): Promise<JsonObject> {
  return granted(
    await platformCommand(engine, `login:${nonce}`, 'VerifyLogin', body, randomBytes(NONCE_BYTES).toString('hex')),
  );
}

/** @errors throws LOGIN_SIGNATURE_REFUSED; ChainFault while the chain cannot be asked: the same attempt may be repeated */
async function conclude(
  engine: Engine,
  judge: JudgeSignature,
  { nonce, keyId, message, signature }: { nonce: string; keyId: string; message: string; signature: string },
): Promise<JsonObject> {
  const signed = parseSiwe(message);
  if ('error' in signed) throw new TypeError(`a message that was accepted is none: ${signed.error}`);
  const { address, chainId } = signed;
  const { holds, rail, block, blockHash } = await judge({ chainId, address, message, signature });
  const body = { key_id: keyId, holds, rail, block, block_hash: blockHash };
  return granted(
    await platformCommand(engine, `login:${nonce}`, 'ConcludeLogin', body, `ConcludeLogin:${nonce}:${keyId}`),
  );
}

/** @errors throws the refusal that stands in the answer */
function granted(outcome: Outcome): JsonObject {
  const { answer } = accepted(outcome);
  const refused = answer['refused'];
  if (refused === undefined) return answer;
  if (!isErrorCode(String(refused)))
    throw new TypeError(`the refusal ${String(refused)} is not in the error catalogue`);
  throw refuse(refused as ErrorCodeName, (answer['facts'] ?? {}) as JsonObject);
}

/** Once per principal, however many logins race. */
async function openAccount(engine: Engine, principal: string): Promise<void> {
  await platformCommand(engine, `account:${principal}`, 'OpenAccount', {});
}

const platformCommand = (engine: Engine, stream: string, type: string, body: JsonObject, key = `${type}:${stream}`) =>
  engine.execute({ principal: PLATFORM, key, stream, type, body });

const apiKeyMessage = (id: string, key: KeyState) => ({
  id,
  principal: key.principal,
  scopes: key.scopes,
  label: key.label,
  createdAt: timestampFromUs(key.created_at_us),
  expiresAt: timestampFromUs(key.expires_at_us),
  ...optionalTime('revokedAt', key.revoked_at_us),
});
