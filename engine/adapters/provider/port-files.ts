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
