/**
 * What is known of a snapshot: the file system of a sandbox, kept on its provider's machine.
 * Promise: plain JSON that only events change; it holds everything that its owner is shown.
 */
import { countIn, type DomainEvent, type JsonObject, optionalIn, textIn } from '@tallystick/kernel';
import type { ClampState } from './clamp.ts';

export type SnapshotStatus = '' | 'making' | 'ready' | 'damaged' | 'failed' | 'deleted';

export type SnapshotState = {
  id: string;
  owner: string;
  label: string;
  status: SnapshotStatus;
  /** It counts against the caps of its owner. */
  is_kept: boolean;
  /** `asked`, or `on_end`: kept because its sandbox ended for want of money or time. */
  cause: string;
  /** Why it failed, is damaged or was deleted; empty otherwise. */
  reason: string;
  sandbox: string;
  incarnation: number;
  job: string;
  provider: string;
  image: string;
  image_digest: string;
  disk_mib: number;
  /** Of its content, hex; empty before it is ready. */
  sha256: string;
  /** Room that it takes: the whole disk while it is made, then what is stored. */
  bytes: string;
  ttl_ms: number;
  clamps: ClampState[];
  created_at_us: string;
  taken_at_us: string | null;
  expires_at_us: string | null;
  deleted_at_us: string | null;
};

export const NO_SNAPSHOT: SnapshotState = {
  id: '',
  owner: '',
  label: '',
  status: '',
  is_kept: false,
  cause: '',
  reason: '',
  sandbox: '',
  incarnation: 0,
  job: '',
  provider: '',
  image: '',
  image_digest: '',
  disk_mib: 0,
  sha256: '',
  bytes: '0',
  ttl_ms: 0,
  clamps: [],
  created_at_us: '0',
  taken_at_us: null,
  expires_at_us: null,
  deleted_at_us: null,
};

type Change = (state: SnapshotState, body: JsonObject) => SnapshotState;

const over =
  (status: SnapshotStatus): Change =>
  (state, body) => ({
    ...state,
    ...(optionalIn(body, 'id', textIn) === null ? {} : (body as Partial<SnapshotState>)),
    status,
    is_kept: false,
    reason: textIn(body, 'reason'),
    deleted_at_us: textIn(body, 'deleted_at_us'),
    expires_at_us: null,
  });

const CHANGES: Record<string, Change> = {
  SnapshotAsked: (state, body) => ({ ...state, ...(body as Partial<SnapshotState>), status: 'making', is_kept: true }),
  SnapshotTaken: taken,
  SnapshotFailed: over('failed'),
  SnapshotDamaged: (state, body) => ({ ...state, status: 'damaged', reason: textIn(body, 'reason') }),
  SnapshotDeleted: over('deleted'),
};

/** One that nobody asked for brings what it is of with it. */
function taken(state: SnapshotState, body: JsonObject): SnapshotState {
  return {
    ...state,
    ...(body as Partial<SnapshotState>),
    disk_mib: countIn(body, 'disk_mib'),
    status: 'ready',
    is_kept: true,
  };
}

export function evolveSnapshot(state: SnapshotState, { type, body }: DomainEvent): SnapshotState {
  const change = CHANGES[type];
  if (!change) throw new TypeError(`a snapshot knows no event ${type}`);
  return change(state, body);
}
