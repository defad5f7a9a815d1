/**
 * The log of RFC 6962 and RFC 9162: leaves, a frontier that grows, roots, inclusion and consistency proofs.
 * Promise: appending n leaves costs O(n) hashes however large the log is; a proof of something false does not verify.
 */
import { sha256 } from './hashes.ts';

/** A tile of C2SP tlog-tiles has 2^8 hashes. */
export const TILE_LEVELS = 8;

const HASH_BYTES = 32;
const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

/** Roots of the complete subtrees that make up the log, largest first: one per set bit of `size`. */
export interface Frontier {
  size: number;
  roots: Buffer[];
}

/** The root of a full tile: the hash at `level` (a multiple of TILE_LEVELS) and `index` of the tree. */
export interface TileRoot {
  level: number;
  index: number;
  hash: Buffer;
}

/** Reads stored hashes: roots of full tiles, and leaf hashes of the range [from, to). */
export interface HashSource {
  tileRoot(level: number, index: number): Promise<Buffer>;
  leaves(from: number, to: number): Promise<Buffer[]>;
}

export const leafHash = (payload: Uint8Array | string): Buffer => sha256(LEAF, payload);
export const nodeHash = (left: Uint8Array, right: Uint8Array): Buffer => sha256(NODE, left, right);

/** @errors throws RangeError when the bytes are not one hash per set bit of size */
export function readFrontier(size: number, packed: Uint8Array): Frontier {
  if (!Number.isSafeInteger(size) || size < 0 || packed.length !== bitsSet(size) * HASH_BYTES)
    throw new RangeError(`a frontier of size ${size} needs ${bitsSet(size)} hashes, there are ${packed.length} bytes`);
  const bytes = Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength);
  const roots: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += HASH_BYTES) roots.push(bytes.subarray(at, at + HASH_BYTES));
  return { size, roots };
}

export const packFrontier = (frontier: Frontier): Buffer => Buffer.concat(frontier.roots);

/** Appends leaf hashes; returns the new frontier and the roots of the tiles that became full. */
export function appendLeaves(from: Frontier, leaves: Buffer[]): { frontier: Frontier; tileRoots: TileRoot[] } {
  const roots = [...from.roots];
  const tileRoots: TileRoot[] = [];
  let size = from.size;
  for (const leaf of leaves) {
    let hash = leaf;
    let level = 0;
    let index = size; // of the node at this level
    for (; index % 2 === 1; index = (index - 1) / 2) {
      hash = nodeHash(roots.pop()!, hash);
      level++;
      if (level % TILE_LEVELS === 0) tileRoots.push({ level, index: (index - 1) / 2, hash });
    }
    roots.push(hash);
    size++;
  }
  return { frontier: { size, roots }, tileRoots };
}

/** The root of the whole log; SHA-256 of nothing for the empty one. */
export function rootOf(frontier: Frontier): Buffer {
  if (frontier.roots.length === 0) return sha256('');
  return frontier.roots.reduceRight((right, left) => nodeHash(left, right));
}

/**
 * The path from leaf `index` to the root of the first `size` leaves, nearest sibling first.
 * @errors throws RangeError unless 0 <= index < size
 */
export async function inclusionProof(index: number, size: number, source: HashSource): Promise<Buffer[]> {
  if (!(isCount(index) && isCount(size) && index < size))
    throw new RangeError(`leaf ${index} is not in ${size} leaves`);
  const path: Buffer[] = [];
  let [from, to] = [0, size];
  while (to - from > 1) {
    const middle = from + largestPowerBelow(to - from);
    path.push(await (index < middle ? subtreeRoot(middle, to, source) : subtreeRoot(from, middle, source)));
    if (index < middle) to = middle;
    else from = middle;
  }
  return path.reverse();
}

/**
 * Proof that the first `oldSize` leaves of the log of `newSize` leaves are the log of `oldSize` leaves.
 * @errors throws RangeError unless 0 <= oldSize <= newSize
 * @source RFC 9162, 2.1.4.1
 */
export async function consistencyProof(oldSize: number, newSize: number, source: HashSource): Promise<Buffer[]> {
  if (!(isCount(oldSize) && isCount(newSize) && oldSize <= newSize))
    throw new RangeError(`a log of ${oldSize} leaves is not older than one of ${newSize}`);
  if (oldSize === 0) return [];
  const path: Buffer[] = [];
  let [from, to] = [0, newSize];
  while (to !== oldSize) {
    const middle = from + largestPowerBelow(to - from);
    path.push(await (oldSize <= middle ? subtreeRoot(middle, to, source) : subtreeRoot(from, middle, source)));
    if (oldSize <= middle) to = middle;
    else from = middle;
  }
  if (from !== 0) path.push(await subtreeRoot(from, to, source));
  return path.reverse();
}

/** @source RFC 9162, 2.1.3.2 */
export function verifyInclusion(leaf: Buffer, index: number, size: number, path: Buffer[], root: Buffer): boolean {
  if (!(isCount(index) && isCount(size) && index < size && leaf.length === HASH_BYTES)) return false;
  let hash = leaf;
  let [node, last] = [index, size - 1];
  for (const sibling of path) {
    if (last === 0 || sibling.length !== HASH_BYTES) return false;
    if (node % 2 === 1 || node === last) {
      hash = nodeHash(sibling, hash);
      while (node % 2 === 0 && node !== 0) [node, last] = [node / 2, Math.floor(last / 2)];
    } else hash = nodeHash(hash, sibling);
    [node, last] = [Math.floor(node / 2), Math.floor(last / 2)];
  }
  return last === 0 && hash.equals(root);
}

/** @source RFC 9162, 2.1.4.2 */
export function verifyConsistency(
  oldSize: number,
  newSize: number,
  path: Buffer[],
  oldRoot: Buffer,
  newRoot: Buffer,
): boolean {
  if (!(isCount(oldSize) && isCount(newSize) && oldSize <= newSize)) return false;
  if (oldSize === 0) return path.length === 0 && oldRoot.equals(sha256(''));
  if (oldSize === newSize) return path.length === 0 && oldRoot.equals(newRoot);
  const hashes = isPowerOfTwo(oldSize) ? [oldRoot, ...path] : [...path];
  const first = hashes.shift();
  if (!first || hashes.some((hash) => hash.length !== HASH_BYTES)) return false;
  return foldConsistency(oldSize, newSize, first, hashes, oldRoot, newRoot);
}

function foldConsistency(
  oldSize: number,
  newSize: number,
  first: Buffer,
  hashes: Buffer[],
  oldRoot: Buffer,
  newRoot: Buffer,
): boolean {
  let [node, last] = [oldSize - 1, newSize - 1];
  while (node % 2 === 1) [node, last] = [(node - 1) / 2, Math.floor(last / 2)];
  let [older, newer] = [first, first];
  for (const hash of hashes) {
    if (last === 0) return false;
    if (node % 2 === 1 || node === last) {
      [older, newer] = [nodeHash(hash, older), nodeHash(hash, newer)];
      while (node % 2 === 0 && node !== 0) [node, last] = [node / 2, Math.floor(last / 2)];
    } else newer = nodeHash(newer, hash);
    [node, last] = [Math.floor(node / 2), Math.floor(last / 2)];
  }
  return last === 0 && older.equals(oldRoot) && newer.equals(newRoot);
}

async function subtreeRoot(from: number, to: number, source: HashSource): Promise<Buffer> {
  const width = to - from;
  const level = Math.log2(width);
  if (level > 0 && Number.isInteger(level) && level % TILE_LEVELS === 0) return source.tileRoot(level, from / width);
  if (width <= 1 << TILE_LEVELS)
    return rootOf(appendLeaves({ size: 0, roots: [] }, await source.leaves(from, to)).frontier);
  const middle = from + largestPowerBelow(width);
  return nodeHash(await subtreeRoot(from, middle, source), await subtreeRoot(middle, to, source));
}

const isCount = (n: number): boolean => Number.isSafeInteger(n) && n >= 0;

function largestPowerBelow(n: number): number {
  let power = 1;
  while (power * 2 < n) power *= 2;
  return power;
}

function bitsSet(n: number): number {
  let bits = 0;
  for (let rest = n; rest > 0; rest = Math.floor(rest / 2)) bits += rest % 2;
  return bits;
}

const isPowerOfTwo = (n: number): boolean => bitsSet(n) === 1;
