/**
 * Reads and writes plain ustar archives in memory, for the mock's trees.
 * Promise: names and contents of regular files survive; everything else of an archive is left out.
 */

const BLOCK_BYTES = 512;
const NAME_BYTES = 100;

const padded = (bytes: Buffer): Buffer =>
  Buffer.concat([bytes, Buffer.alloc((BLOCK_BYTES - (bytes.length % BLOCK_BYTES)) % BLOCK_BYTES)]);

function headerOf(name: string, size: number): Buffer {
  const header = Buffer.alloc(BLOCK_BYTES);
  header.write(name, 0, NAME_BYTES);
  header.write('0000644\x000001750\x000001750\0', 100);
  header.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  header.write('00000000000\0        0', 136);
  header.write('ustar\x0000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}

/** @errors throws RangeError for a name of more than 100 bytes */
export function packTar(files: [name: string, bytes: Buffer][]): Buffer {
  const members = files.map(([name, bytes]) => {
    if (Buffer.byteLength(name) > NAME_BYTES) throw new RangeError(`a name of at most ${NAME_BYTES} bytes: ${name}`);
    return Buffer.concat([headerOf(name, bytes.length), padded(bytes)]);
  });
  return Buffer.concat([...members, Buffer.alloc(2 * BLOCK_BYTES)]);
}

const textAt = (block: Buffer, from: number, length: number): string =>
  block
    .subarray(from, from + length)
    .toString()
    .split('\0')[0] as string;

/** Stops at the end marker; a cut archive gives what is whole. */
export function unpackTar(archive: Buffer): [name: string, bytes: Buffer][] {
  const files: [string, Buffer][] = [];
  for (let at = 0; at + BLOCK_BYTES <= archive.length; ) {
    const block = archive.subarray(at, at + BLOCK_BYTES);
    const name = textAt(block, 0, NAME_BYTES);
    if (name === '') break;
    const size = Number.parseInt(textAt(block, 124, 12).trim() || '0', 8);
    const type = String.fromCharCode(block.readUInt8(156));
    const bytes = archive.subarray(at + BLOCK_BYTES, at + BLOCK_BYTES + size);
    if (type === '0' || type === '\0') files.push([name, Buffer.from(bytes)]);
    at += BLOCK_BYTES + padded(bytes).length;
  }
  return files;
}
