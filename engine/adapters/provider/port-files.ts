/**
 * What the port asks about the paths of a sandbox besides moving bytes.
 * Promise: a change that is repeated under its name happens once and answers the same.
 */

/** What stands at a path; a link is told as a link. */
export interface PathStatus {
  path: string;
  type: 'file' | 'directory' | 'link' | 'other';
  bytes: number;
  mode: number;
  modified_us: number;
  /** Where a link leads, as it is written. */
  target: string | null;
  /** Hex; of a regular file, when asked for. */
  sha256: string | null;
}

export interface PathChanged {
  /** Removed with all below; otherwise 1, or 0 when the folder was there already. */
  entries: number;
}

export interface MakeFolder {
  /** Chosen by the caller, unique in the sandbox. */
  change_id: string;
  path: string;
  /** Also the folders above; one that is there already is no refusal then. */
  parents: boolean;
}

export interface MovePath {
  change_id: string;
  path: string;
  to: string;
  /** Take the place of what stands at `to`. */
  overwrite: boolean;
}

export interface RemovePath {
  change_id: string;
  path: string;
  /** With everything below. Links are never followed. */
  recursive: boolean;
}

/**
 * @errors as every call of the port; what the sandbox refuses has the code `no_such_file`, `file_exists`, `not_a_folder`,
 * `is_folder`, `folder_not_empty`, `quota_full`, `not_permitted`, `crosses_mounts`, `is_mount`, `name_too_long`, `link_loop`,
 * `into_itself`, `too_deep`, `too_large` or `file_fault`
 */
export interface PathCalls {
  statPath(sandbox: string, path: string, digest?: boolean): Promise<PathStatus>;
  makeFolder(sandbox: string, order: MakeFolder): Promise<PathChanged>;
  /** A rename: at once or not at all, and on one file system only. */
  movePath(sandbox: string, order: MovePath): Promise<PathChanged>;
  removePath(sandbox: string, order: RemovePath): Promise<PathChanged>;
}

/**
 * `missed`: something may have happened that was not told: look anew, then go on; `ended`: nothing more will come.
 * Told is what became of a name since the last look, in an order that adds up; not every step to it.
 */
export type FileEventKind = 'created' | 'modified' | 'deleted' | 'moved' | 'missed' | 'ended';

export interface FileEvent {
  cursor: number;
  at_us: number;
  kind: FileEventKind;
  /** As the caller named the folder, with the rest behind it; what is below a deleted or moved folder went with it. */
  path: string;
  /** Where it was, when it moved. */
  from: string | null;
  type: string | null;
  /** Of `missed` and `ended`: one word. */
  reason: string | null;
}

export interface OpenWatch {
  /** Chosen by the caller; a repetition answers with the same watch. */
  watch_id: string;
  path: string;
  /** Also everything below; otherwise the folder's own names only. */
  recursive: boolean;
}

export interface WatchView {
  watch_id: string;
  path: string;
  recursive: boolean;
  /** Folders looked into when it began. */
  directories: number;
  /** Pass it as `after` next time. */
  next_after: number;
  /** The oldest event still kept. */
  first_cursor: number;
}

export interface WatchPage extends WatchView {
  /** The newest event. */
  head: number;
  /** In order; the first is `missed` when older ones were dropped unread. */
  events: FileEvent[];
  /** It has ended and all of it is read. */
  is_over: boolean;
}

/** @errors as every call of the port: `too_many_watches`, `watch_too_large`, `no_such_file`, `not_a_folder`, `unknown_watch` */
export interface WatchCalls {
  /** It ends by itself when nobody reads it for a minute. */
  openWatch(sandbox: string, order: OpenWatch): Promise<WatchView>;
  /** Also while the sandbox stands frozen, and after its end. */
  readWatch(sandbox: string, watchId: string, query?: { after?: number; waitMs?: number }): Promise<WatchPage>;
  closeWatch(sandbox: string, watchId: string): Promise<void>;
}
