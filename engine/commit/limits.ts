/**
 * The limits of the commit path, with their units.
 * Promise: everything that waits or grows in this folder is bounded by a name from here.
 */

/** Commands in one batch at most; it takes what waits, so it is as small as the load allows. */
export const BATCH_COMMANDS_MAX = 512;
/** Commands that wait at once; beyond it a command is refused as LIMITED. */
export const QUEUE_COMMANDS_MAX = 20_000;
/** Retry alone starves beside a busy process, the row lock at once is slow: it is taken after so many losses in a row. */
export const LOCK_AFTER_LOSSES = 4;
/** How long a batch is sent again while the database is away. */
export const OUTAGE_MS_MAX = 20_000;
export const RECONNECT_MS = 50;
/** Connections for reading. */
export const READ_CONNECTIONS_MAX = 4;
/** How often other processes' commits are looked for, besides the hints. */
export const HEAD_POLL_MS = 250;
