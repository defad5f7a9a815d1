/**
 * Counts what the files of a tar stream hold together, while it passes.
 * Promise: never more than they hold; what is no tar counts as nothing, and no input makes it keep more than one header.
 */

const BLOCK_BYTES = 512;
const SIZE_AT = 124;
const SIZE_BYTES = 12;
const TYPE_AT = 156;
/** `0`, NUL and `7`: regular files. */
const FILE_TYPES: ReadonlySet<number> = new Set([0x30, 0, 0x37]);
/** `1` to `6`: links, devices and folders, which have no content whatever they say. */
const isEmptyType = (type: number): boolean => type >= 0x31 && type <= 0x36;

export interface TarContent {
  look(chunk: Uint8Array): void;
  /** So far. */
  bytes(): number;
}

/** Octal text; undefined for anything else, also for sizes beyond 8 GiB. */
function sizeIn(header: Buffer): number | undefined {
  const text = header
    .toString('latin1', SIZE_AT, SIZE_AT + SIZE_BYTES)
    .replace(/[\0 ]+$/, '')
    .trimStart();
  return /^[0-7]{1,12}$/.test(text) ? Number.parseInt(text, 8) : undefined;
}

export function tarContent(): TarContent {
  const header = Buffer.alloc(BLOCK_BYTES);
  let filled = 0;
  let skip = 0;
  let total = 0;
  let isOver = false;
  const takeHeader = (): void => {
    const size = sizeIn(header);
    const type = header.readUInt8(TYPE_AT);
    if (header.readUInt8(0) === 0 || size === undefined) isOver = true;
    else if (!isEmptyType(type)) {
      if (FILE_TYPES.has(type)) total += size;
      skip = Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
    }
  };
  return {
    bytes: () => total,
    look(chunk) {
      for (let at = 0; at < chunk.length && !isOver; ) {
        const skipped = Math.min(skip, chunk.length - at);
        skip -= skipped;
        at += skipped;
        const part = chunk.subarray(at, at + BLOCK_BYTES - filled);
        header.set(part, filled);
        filled += part.length;
        at += part.length;
        if (filled < BLOCK_BYTES) continue;
        filled = 0;
        takeHeader();
      }
    },
  };
}
