/**
 * The first line: whose log it is, which root is signed, which keys sell minutes.
 * Promise: a root is returned only when the log's key signed it, under the origin and size that the header says.
 */
import {
  assertGoodPublicKey,
  base64Bytes,
  type Checkpoint,
  type ExportHeader,
  keyIdOf,
  openCheckpoint,
  type Policy,
  parseLogVerifier,
} from '@tallystick/kernel';

export interface OpenedHeader {
  header: ExportHeader;
  /** Undefined when nothing signed stands behind the export. */
  checkpoint: Checkpoint | undefined;
  pinned: boolean;
  /** Raw public keys by key id. */
  leaseKeys: ReadonlyMap<string, Buffer>;
}

export interface HeaderExpectations {
  /** C2SP verifier key that the caller knows by other means. */
  expectedLogVerifier?: string | undefined;
  policy: Policy;
}

/** Calls `say` for every problem of the header. */
export function openHeader(
  header: ExportHeader,
  { expectedLogVerifier, policy }: HeaderExpectations,
  say: (what: string) => void,
): OpenedHeader {
  const pinned = expectedLogVerifier === header.log_verifier;
  if (expectedLogVerifier !== undefined && !pinned)
    say(`the log's key is ${header.log_verifier}, expected ${expectedLogVerifier}`);
  if (header.policy.hash !== policy.hash)
    say(
      `exported under policy ${header.policy.version} (${header.policy.hash}), this verifier decides under ${policy.version} (${policy.hash})`,
    );
  return { header, checkpoint: openRoot(header, say), pinned, leaseKeys: readLeaseKeys(header, say) };
}

function openRoot(header: ExportHeader, say: (what: string) => void): Checkpoint | undefined {
  try {
    const verifier = parseLogVerifier(header.log_verifier);
    if (verifier.origin !== header.origin) say(`the origin is ${header.origin}, the key's is ${verifier.origin}`);
    const checkpoint = openCheckpoint(verifier, header.checkpoint);
    if (!checkpoint) say('the checkpoint is not signed by the log key');
    else if (checkpoint.size !== header.size)
      say(`the checkpoint signs size ${checkpoint.size}, the header says ${header.size}`);
    return checkpoint;
  } catch (error) {
    say(`log_verifier: ${(error as Error).message}`);
    return undefined;
  }
}

function readLeaseKeys(header: ExportHeader, say: (what: string) => void): Map<string, Buffer> {
  const keys = new Map<string, Buffer>();
  for (const { keyid, public_key } of header.lease_keys) {
    try {
      const bytes = base64Bytes(public_key);
      if (!bytes) throw new TypeError('not base64');
      assertGoodPublicKey(bytes);
      if (keyIdOf(bytes) !== keyid) throw new TypeError('the key id does not fit the key');
      if (keys.has(keyid)) throw new TypeError('named twice');
      keys.set(keyid, bytes);
    } catch (error) {
      say(`lease key ${keyid}: ${(error as Error).message}`);
    }
  }
  return keys;
}
