/**
 * The writable layer of a sandbox, with a quota that cannot be passed.
 * Promise: small layers live in memory under the memory limit; larger ones in an image file that dies with the sandbox.
 */
import { execFile } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { LAUNCHER_ENV } from './isolate.ts';

/** tmpfs pages count against the sandbox's own memory limit, so only small layers may live there. */
export const TMPFS_BYTES_MAX = 256 * 1024 * 1024;

export type Disk =
  | { kind: 'tmpfs'; bytesMax: number }
  | { kind: 'image'; bytesMax: number; file: string; mountPoint: string };

const runFile = promisify(execFile);

/** Where the probe looked for it: the PATH of whoever started us may lack the programs of the system. */
const run = (program: string, argv: string[]) => runFile(program, argv, { env: LAUNCHER_ENV });

export function planDisk(directory: string, bytesMax: number): Disk {
  if (bytesMax < TMPFS_BYTES_MAX) return { kind: 'tmpfs', bytesMax };
  return { kind: 'image', bytesMax, file: join(directory, 'disk.img'), mountPoint: join(directory, 'disk') };
}

/** More sizes than these are formatted each time. */
const TEMPLATES_MAX = 32;
/** Without a journal nothing survives a crash of the host, and nothing should; without checksums the root can be given away. */
const FORMAT = ['-q', '-F', '-m', '0', '-O', '^has_journal,^metadata_csum', '-E', 'lazy_itable_init=1,nodiscard'];

/**
 * Makes the image file, as a copy of the first one of its size: that takes a fraction of the time of formatting.
 * It is mounted later, inside the sandbox's private mount namespace.
 */
export async function prepareDisk(disk: Disk, ownerUid: number, templates: string): Promise<void> {
  if (disk.kind === 'tmpfs') return;
  mkdirSync(disk.mountPoint, { mode: 0o711 });
  const template = join(templates, `${disk.bytesMax}.img`);
  if (existsSync(template)) await copySparse(template, disk.file);
  else {
    await format(disk);
    if (readdirSync(templates).length < TEMPLATES_MAX) await keepAsTemplate(disk.file, template);
  }
  giveRootTo(disk.file, ownerUid);
}

async function copySparse(from: string, to: string): Promise<void> {
  await run('cp', ['--sparse=always', '--reflink=auto', from, to]);
}

async function format(disk: { file: string; bytesMax: number }): Promise<void> {
  writeFileSync(disk.file, '', { mode: 0o600 });
  truncateSync(disk.file, disk.bytesMax);
  await run('mkfs.ext4', [...FORMAT, disk.file]);
  await run('debugfs', ['-w', '-R', 'rmdir lost+found', disk.file]);
}

/** Appears whole or not at all; of two that are made at once the later one stays. */
async function keepAsTemplate(file: string, template: string): Promise<void> {
  const unfinished = join(dirname(template), `${basename(dirname(file))}.new`);
  await copySparse(file, unfinished);
  renameSync(unfinished, template);
}

const ROOT_INODE = 2;
const SUPERBLOCK_AT = 1024;

/** Writes the owner of the root directory into its inode: where it lies is told by superblock and first group descriptor. */
function giveRootTo(file: string, uid: number): void {
  const descriptor = openSync(file, 'r+');
  const read = (at: number, bytes: number): Buffer => {
    const buffer = Buffer.alloc(bytes);
    readSync(descriptor, buffer, 0, bytes, at);
    return buffer;
  };
  try {
    const superblock = read(SUPERBLOCK_AT, 1024);
    const blockBytes = 1024 << superblock.readUInt32LE(0x18);
    const firstGroup = read((superblock.readUInt32LE(0x14) + 1) * blockBytes, 32);
    const inodeAt = firstGroup.readUInt32LE(0x08) * blockBytes + (ROOT_INODE - 1) * superblock.readUInt16LE(0x58);
    const half = (value: number): Buffer => Buffer.from([value & 0xff, (value >> 8) & 0xff]);
    for (const [at, value] of [
      [0x02, uid],
      [0x18, uid],
      [0x78, uid >> 16],
      [0x7a, uid >> 16],
    ] as const) {
      writeSync(descriptor, half(value), 0, 2, inodeAt + at);
    }
  } finally {
    closeSync(descriptor);
  }
}
