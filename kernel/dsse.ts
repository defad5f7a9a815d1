/**
 * DSSE envelopes: a signed JSON document that somebody else can hold alone.
 * Promise: the payload type is signed with the payload, and what opens was canonical JSON when it was signed.
 */
import { base64Bytes } from './base64.ts';
import { isCanonical, jcs, parseStrict } from './canonical.ts';
import type { JsonObject } from './json.ts';
import { type SigningKey, verifyEd25519 } from './signatures.ts';

export const ENVELOPE_SIGNATURES_MAX = 16;
export const ENVELOPE_PAYLOAD_CHARS_MAX = 1_048_576;

export interface Envelope {
  payloadType: string;
  /** Base64 of the RFC 8785 bytes. */
  payload: string;
  /** `sig` is base64; `keyid` is a hint and not signed. */
  signatures: { keyid: string; sig: string }[];
}

/** @source DSSE 1.0, protocol.md */
export function signEnvelope(payloadType: string, payload: JsonObject, key: SigningKey): Envelope {
  const bytes = Buffer.from(jcs(payload));
  const sig = key.sign(preAuthEncoding(payloadType, bytes)).toString('base64');
  return { payloadType, payload: bytes.toString('base64'), signatures: [{ keyid: key.id, sig }] };
}

/** The payload when the envelope has this type and a signature of this key, else undefined. Never throws. */
export function openEnvelope(envelope: Envelope, payloadType: string, publicKey: Uint8Array): JsonObject | undefined {
  if (!hasEnvelopeShape(envelope) || envelope.payloadType !== payloadType) return undefined;
  const bytes = base64Bytes(envelope.payload);
  if (!bytes) return undefined;
  const signed = preAuthEncoding(payloadType, bytes);
  const isSigned = envelope.signatures.some(({ sig }) => {
    const signature = base64Bytes(sig);
    return signature !== undefined && verifyEd25519(publicKey, signed, signature);
  });
  return isSigned && isCanonical(bytes) ? asObject(bytes) : undefined;
}

function hasEnvelopeShape(value: unknown): value is Envelope {
  if (typeof value !== 'object' || value === null) return false;
  const { payloadType, payload, signatures } = value as Partial<Record<keyof Envelope, unknown>>;
  if (typeof payloadType !== 'string' || typeof payload !== 'string' || !Array.isArray(signatures)) return false;
  if (payload.length > ENVELOPE_PAYLOAD_CHARS_MAX || signatures.length > ENVELOPE_SIGNATURES_MAX) return false;
  return signatures.every((entry) => typeof entry === 'object' && entry !== null && typeof entry.sig === 'string');
}

function asObject(bytes: Buffer): JsonObject | undefined {
  const value = parseStrict(bytes);
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
}

function preAuthEncoding(payloadType: string, payload: Buffer): Buffer {
  const head = `DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.length} `;
  return Buffer.concat([Buffer.from(head), payload]);
}
