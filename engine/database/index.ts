/**
 * The only door to the database folder: open it, migrate it.
 * Promise: what a program opens accepts connections and has the schema of this version.
 */
import type { Database } from './database.ts';
import { type EmbeddedOptions, openEmbedded } from './embedded.ts';
import { openServer } from './server.ts';

export type { Database, Role } from './database.ts';
export { migrate } from './migrate.ts';

export interface OpenOptions extends Partial<EmbeddedOptions> {
  /** A PostgreSQL >= 15; wins over `folder`. */
  url?: string;
}

/**
 * Opens the server at `url`, or starts (attaches to, when it already runs) the embedded one in `folder`.
 * @errors throws when neither is given, when the server is too old, or when it does not start; the message holds the end of its log.
 */
export function openDatabase({ url, folder, ...options }: OpenOptions): Promise<Database> {
  if (url) return openServer(url);
  if (!folder) throw new TypeError('openDatabase needs a url or a folder');
  return openEmbedded({ folder, ...options });
}
