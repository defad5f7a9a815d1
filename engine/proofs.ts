/**
 * Proofs that a receipt stands in the log, and that one log continues another.
 * Promise: what many proofs have in common is read once, and in few round trips.
 */
import { consistencyProof, type HashSource, inclusionProof } from '@tallystick/kernel';
import type { Engine } from './commit/engine.ts';
import { grouped } from './grouped.ts';
import { head } from './read.ts';
import { STATEMENTS } from './statements.ts';

/** Leaves under a tile, and roots under a tile of the next level. */
const TILE_WIDTH = 256;
const TILES_TOGETHER_MAX = 64;

/**
 * Path from the receipt at `pos` to the root of the first `size` receipts.
 * @source RFC 9162, 2.1.3
 * @errors throws RangeError unless 0 <= pos < size <= head
 */
export async function inclusion(engine: Engine, pos: number, size: number): Promise<Buffer[]> {
  const [path] = await inclusions(engine, [pos], size);
  return path!;
}

/** The paths of many receipts, in their order. @errors as `inclusion` */
export async function inclusions(engine: Engine, positions: readonly number[], size: number): Promise<Buffer[][]> {
  const outside = positions.find((pos) => pos < 0 || pos >= size);
  if (outside !== undefined || size > (await head(engine)))
    throw new RangeError(`no receipt ${outside ?? ''} in a log of ${size}`);
  const source = hashSource(engine, size);
  return Promise.all(positions.map((pos) => inclusionProof(pos, size, source)));
}

/**
 * Proof that the log of `newSize` receipts begins with the log of `oldSize`.
 * @source RFC 9162, 2.1.4
 * @errors throws RangeError unless 0 < oldSize <= newSize <= head
 */
export async function consistency(engine: Engine, oldSize: number, newSize: number): Promise<Buffer[]> {
  if (oldSize <= 0 || oldSize > newSize || newSize > (await head(engine)))
    throw new RangeError(`no proof from ${oldSize} to ${newSize} receipts`);
  return consistencyProof(oldSize, newSize, hashSource(engine, newSize));
}

/** Hashes of one log up to `size`, read a tile at a time and remembered. */
function hashSource(engine: Engine, size: number): HashSource {
  const rootsOf = remembered((name) => readTileRoots(engine, name));
  const leavesOf = remembered(
    grouped((names: readonly string[]) => readLeaves(engine, names, size), TILES_TOGETHER_MAX),
  );
  return {
    async tileRoot(level, index) {
      const roots = await rootsOf(`${level}/${Math.floor(index / TILE_WIDTH)}`);
      const hash = roots[index % TILE_WIDTH];
      if (!hash) throw new RangeError(`no tile ${level}/${index}`);
      return hash;
    },
    async leaves(from, to) {
      const leaves: Buffer[] = [];
      for (let at = from; at < to; ) {
        const tile = Math.floor(at / TILE_WIDTH);
        const end = Math.min(to, (tile + 1) * TILE_WIDTH);
        leaves.push(...(await leavesOf(String(tile))).slice(at - tile * TILE_WIDTH, end - tile * TILE_WIDTH));
        at = end;
      }
      return leaves;
    },
  };
}

/** Asks once for each name. */
function remembered(read: (name: string) => Promise<Buffer[]>): (name: string) => Promise<Buffer[]> {
  const known = new Map<string, Promise<Buffer[]>>();
  return (name) => {
    const found = known.get(name) ?? read(name);
    known.set(name, found);
    return found;
  };
}

async function readTileRoots(engine: Engine, name: string): Promise<Buffer[]> {
  const [level, block] = name.split('/').map(Number) as [number, number];
  const from = block * TILE_WIDTH;
  const rows = await engine.query<{ hash: Buffer }>(STATEMENTS.tileRoots, [
    engine.shard,
    level,
    from,
    from + TILE_WIDTH,
  ]);
  return rows.map((row) => row.hash);
}

async function readLeaves(engine: Engine, tiles: readonly string[], size: number): Promise<Buffer[][]> {
  const starts = tiles.map((tile) => Number(tile) * TILE_WIDTH);
  const ends = starts.map((from) => Math.min(size, from + TILE_WIDTH));
  const rows = await engine.query<{ hashes: Buffer }>(STATEMENTS.leafTiles, [engine.shard, starts, ends]);
  return rows.map(({ hashes }) => splitHashes(hashes));
}

const HASH_BYTES = 32;

const splitHashes = (hashes: Buffer): Buffer[] =>
  Array.from({ length: hashes.length / HASH_BYTES }, (_, i) => hashes.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES));
