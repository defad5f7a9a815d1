/**
 * What a disk image holds, as one digest, and whose its files are, written into its inodes.
 * Promise: the digest depends on content alone, not on where the file has holes; nothing here mounts or follows a path.
 */
import { spawnSync } from 'node:child_process';
import { createHash, type Hash } from 'node:crypto';
import { closeSync, fstatSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';

const READ_BYTES = 1 << 20;
const BLOCK_BYTES = 1 << 16;
const ZEROS = Buffer.alloc(BLOCK_BYTES);
const DOMAIN = 'tallystick-disk-1\n';

function readAt(descriptor: number, at: number, bytes: number): Buffer {
  const buffer = Buffer.allocUnsafe(bytes);
  return buffer.subarray(0, readSync(descriptor, buffer, 0, bytes, at));
}

/** A stretch of a file: the first byte, and the one behind the last. */
type Stretch = [from: number, to: number];

const EXTENT = /^ *\d+: *(\d+)\.\. *(\d+):/gm;

/** Where the file may hold anything but zeros, in whole blocks; all of it on a host that cannot tell. */
function stretchesOf(file: string, size: number): Stretch[] {
  const { status, stdout } = spawnSync('filefrag', ['-s', '-v', '-b1', file], { encoding: 'utf8' });
  if (status !== 0) return [[0, size]];
  const stretches: Stretch[] = [];
  for (const [, first, last] of stdout.matchAll(EXTENT)) {
    const from = Math.floor(Number(first) / BLOCK_BYTES) * BLOCK_BYTES;
    const to = Math.min(size, Math.ceil((Number(last) + 1) / BLOCK_BYTES) * BLOCK_BYTES);
    const before = stretches.at(-1);
    if (before && from < before[0]) return [[0, size]]; // not in order: believed as little as none
    if (before && from <= before[1]) before[1] = Math.max(before[1], to);
    else stretches.push([from, to]);
  }
  return stretches;
}

/**
 * Hex SHA-256 of the image's length and of every block of 64 KiB that is not all zeros, each behind its position: empty
 * room costs next to nothing, and a copy with other holes has the same digest.
 */
export function contentDigest(file: string): string {
  const descriptor = openSync(file, 'r');
  try {
    const { size } = fstatSync(descriptor);
    const hash = createHash('sha256').update(`${DOMAIN}${size}\n`);
    for (const [from, to] of stretchesOf(file, size)) {
      for (let at = from; at < to; at += READ_BYTES) {
        addBlocks(hash, readAt(descriptor, at, Math.min(READ_BYTES, to - at)), at);
      }
    }
    return hash.digest('hex');
  } finally {
    closeSync(descriptor);
  }
}

function addBlocks(hash: Hash, piece: Buffer, at: number): void {
  const place = Buffer.alloc(8);
  for (let from = 0; from < piece.length; from += BLOCK_BYTES) {
    const block = piece.subarray(from, from + BLOCK_BYTES);
    if (block.equals(ZEROS.subarray(0, block.length))) continue;
    place.writeBigUInt64BE(BigInt(at + from));
    hash.update(place).update(block);
  }
}

/** Everything written so far survives a crash of the host. */
export function syncFile(file: string): void {
  const descriptor = openSync(file, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

const SUPERBLOCK_AT = 1_024;
const MAGIC = 0xef53;
const ROOT_INODE = 2;
const SMALL_DESCRIPTOR_BYTES = 32;
/** Features under which an inode or a table of them cannot be changed or found by itself. */
const META_BG = 0x10;
const BIT_64 = 0x80;
const CHECKSUMS = 0x10 | 0x400;

interface Layout {
  blockBytes: number;
  groups: number;
  descriptorBytes: number;
  descriptorsAt: number;
  inodesPerGroup: number;
  inodeBytes: number;
  firstInode: number;
}

/** @errors throws Error for what is no file system of the kind that the warden formats */
function layoutOf(descriptor: number): Layout {
  const block = readAt(descriptor, SUPERBLOCK_AT, 1_024);
  const incompatible = block.length < 1_024 ? 0 : block.readUInt32LE(0x60);
  if (block.length < 1_024 || block.readUInt16LE(0x38) !== MAGIC) throw new Error('not an ext4 image');
  if (incompatible & META_BG || block.readUInt32LE(0x64) & CHECKSUMS) throw new Error('not an image of ours');
  const blockBytes = 1_024 << block.readUInt32LE(0x18);
  const firstBlock = block.readUInt32LE(0x14);
  return {
    blockBytes,
    groups: Math.ceil((block.readUInt32LE(0x04) - firstBlock) / block.readUInt32LE(0x20)),
    descriptorBytes: incompatible & BIT_64 ? block.readUInt16LE(0xfe) : SMALL_DESCRIPTOR_BYTES,
    descriptorsAt: (firstBlock + 1) * blockBytes,
    inodesPerGroup: block.readUInt32LE(0x28),
    inodeBytes: block.readUInt16LE(0x58),
    firstInode: block.readUInt32LE(0x54),
  };
}

function tableAt(descriptor: number, layout: Layout, group: number): number {
  const { descriptorBytes, descriptorsAt, blockBytes } = layout;
  const one = readAt(descriptor, descriptorsAt + group * descriptorBytes, descriptorBytes);
  const high = descriptorBytes > SMALL_DESCRIPTOR_BYTES ? one.readUInt32LE(0x28) : 0;
  return (high * 2 ** 32 + one.readUInt32LE(0x08)) * blockBytes;
}

/** Owner and group of one inode; says whether anything changed. */
function own(inode: Buffer, uid: number): boolean {
  const [low, high] = [uid & 0xffff, (uid >>> 16) & 0xffff];
  const places = [
    [0x02, low],
    [0x18, low],
    [0x78, high],
    [0x7a, high],
  ] as const;
  const isSame = places.every(([at, half]) => inode.readUInt16LE(at) === half);
  for (const [at, half] of places) inode.writeUInt16LE(half, at);
  return !isSame;
}

/**
 * Makes `uid` the owner and group of every file, as if its one user had always had that number.
 * @errors throws Error for what is no file system of the kind that the warden formats
 */
export function giveAllTo(file: string, uid: number): void {
  const descriptor = openSync(file, 'r+');
  try {
    const layout = layoutOf(descriptor);
    const { inodesPerGroup, inodeBytes, firstInode } = layout;
    const perRead = Math.floor(READ_BYTES / inodeBytes);
    for (let group = 0; group < layout.groups; group += 1) {
      const tableStart = tableAt(descriptor, layout, group);
      for (let first = 0; first < inodesPerGroup; first += perRead) {
        const at = tableStart + first * inodeBytes;
        const piece = readAt(descriptor, at, Math.min(perRead, inodesPerGroup - first) * inodeBytes);
        if (giveIn(piece, group * inodesPerGroup + first + 1, inodeBytes, firstInode, uid))
          writeSync(descriptor, piece, 0, piece.length, at);
      }
    }
  } finally {
    closeSync(descriptor);
  }
}

/** Of a piece of an inode table that begins with the inode `number`. */
function giveIn(piece: Buffer, number: number, inodeBytes: number, firstInode: number, uid: number): boolean {
  let isChanged = false;
  for (let at = 0; at + inodeBytes <= piece.length; at += inodeBytes) {
    const inode = piece.subarray(at, at + inodeBytes);
    const serial = number + at / inodeBytes;
    const isUsed = inode.readUInt16LE(0x1a) > 0 && (serial === ROOT_INODE || serial >= firstInode);
    if (isUsed && own(inode, uid)) isChanged = true;
  }
  return isChanged;
}
