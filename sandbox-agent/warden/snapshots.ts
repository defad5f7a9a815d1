/**
 * The snapshots of this machine: disk images that outlive their sandboxes, each with a page that says what it is.
 * Promise: one is listed only when it is whole, synced and named by its digest; what is half made goes at the next start;
 * no memory disk, so no released secret, is ever part of one.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type Disk, TMPFS_BYTES_MAX } from './disk.ts';
import { checkDisk, copyDisk, growDisk, storedBytes, takeDisk } from './disk-copy.ts';
import { Fault, refused } from './fault.ts';
import { GUEST_UID } from './image.ts';
import { imageTask } from './image-work.ts';

/** What a snapshot is of. */
export interface SnapshotSource {
  snapshot: string;
  sandbox: string;
  incarnation: number;
  image: string;
  image_digest: string;
  disk_mib: number;
  /** `asked`, or `on_end`: kept when its sandbox ended. */
  cause: 'asked' | 'on_end';
}

export interface SnapshotPage extends SnapshotSource {
  /** Hex, over the content (image-content.ts). */
  sha256: string;
  /** Taken on the machine's disk. */
  bytes: number;
  taken_at_us: number;
}

/** A snapshot that a sandbox starts from. */
export interface SnapshotRef {
  snapshot: string;
  sha256: string;
}

export const SNAPSHOTS_MAX = 10_000;
/** Copies and checks under way at once. */
const UNDER_WAY_MAX = 4;
/** A copy may keep a sandbox standing still for this long. */
export const STILL_MS_MAX = 10_000;
const RESTORE_MS_MAX = 60_000;
/** Of the host's disk, not to be filled by snapshots. */
const FREE_SHARE_MIN = 0.1;
const MIB = 1 << 20;
const NEW = '.new';
/** The note beside a disk that was moved here from a sandbox that is over, until it is whole. */
const MOVED = '.moved';
const OWNER = Number(GUEST_UID);

export class Snapshots {
  readonly #folder: string;
  readonly #nowUs: () => number;
  readonly #pages = new Map<string, SnapshotPage>();
  readonly #underWay = new Map<string, Promise<SnapshotPage>>();
  #turn: Promise<unknown> = Promise.resolve();

  /** Reads what an earlier warden left; what it had not finished is removed. */
  constructor(folder: string, nowUs: () => number) {
    this.#folder = folder;
    this.#nowUs = nowUs;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (const page of readdirSync(folder).flatMap((name) => pageIn(folder, name)))
      this.#pages.set(page.snapshot, page);
    const moved = readdirSync(folder).flatMap((name) => movedIn(folder, name));
    const whole = [...this.#pages.keys()].flatMap((id) => [`${id}.img`, `${id}.json`]);
    const waiting = moved.flatMap(({ snapshot }) => [`${snapshot}.img${NEW}`, `${snapshot}${MOVED}`]);
    const kept = new Set([...whole, ...waiting]);
    for (const name of readdirSync(folder)) if (!kept.has(name)) rmSync(join(folder, name), { force: true });
    for (const source of moved) this.make(source, async () => {}).catch(tellLoss(source));
  }

  list(): SnapshotPage[] {
    return [...this.#pages.values()];
  }

  /** @errors throws Fault `unknown_snapshot` */
  page(id: string): SnapshotPage {
    const page = this.#pages.get(id);
    if (!page) throw refused('unknown_snapshot', `no snapshot ${id} on this machine`);
    return page;
  }

  /**
   * Makes one out of a copy that `fill` puts at the path it is given. Repeating it answers the first one's page.
   * @errors rejects with Fault `no_room`, `disk_in_memory` or `snapshot_failed`; nothing is left then
   */
  make(source: SnapshotSource, fill: (file: string) => Promise<void>): Promise<SnapshotPage> {
    const known = this.#pages.get(source.snapshot);
    if (known) return Promise.resolve(known);
    const running = this.#underWay.get(source.snapshot);
    if (running !== undefined) return running;
    const made = this.#make(source, fill).finally(() => this.#underWay.delete(source.snapshot));
    this.#underWay.set(source.snapshot, made);
    return made;
  }

  async #make(source: SnapshotSource, fill: (file: string) => Promise<void>): Promise<SnapshotPage> {
    this.#checkRoom(source);
    const file = this.#file(source.snapshot, 'img');
    const unfinished = file + NEW;
    try {
      await fill(unfinished);
      const sha256 = await this.#inTurn(async () => {
        await checkDisk(unfinished);
        return imageTask({ file: unfinished, owner: OWNER, digest: true, sync: true });
      });
      const page = { ...source, sha256, bytes: await storedBytes(unfinished), taken_at_us: this.#nowUs() };
      renameSync(unfinished, file);
      this.#keep(page);
      return page;
    } catch (fault) {
      for (const left of [unfinished, file]) rmSync(left, { force: true });
      if (fault instanceof Fault) throw fault;
      throw refused('snapshot_failed', 'the snapshot could not be made', {
        cause: (fault as Error).message.split('\n')[0]!,
      });
    } finally {
      rmSync(join(this.#folder, source.snapshot + MOVED), { force: true });
    }
  }

  /** One after another: reading whole disks must not take the machine from those who have paid for it. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  #checkRoom({ disk_mib, cause }: SnapshotSource): void {
    if (disk_mib * MIB < TMPFS_BYTES_MAX) {
      const facts = { cap: 'disk_mib_min', asked: disk_mib, available: TMPFS_BYTES_MAX / MIB };
      throw refused('disk_in_memory', 'a disk this small lives in memory and cannot be kept', facts);
    }
    if (this.#pages.size + this.#underWay.size >= SNAPSHOTS_MAX) throw tooMany('snapshots', SNAPSHOTS_MAX);
    if (cause === 'on_end') return; // it is there already, and is only moved
    if (this.#underWay.size >= UNDER_WAY_MAX) throw tooMany('at_once', UNDER_WAY_MAX);
    const { bavail, bsize, blocks } = statfsSync(this.#folder);
    const available = Math.floor((bavail - blocks * FREE_SHARE_MIN) * (bsize / MIB));
    const facts = { name: 'disk_mib', asked: disk_mib, available };
    if (disk_mib > available) throw refused('no_room', 'not enough disk on this machine for a snapshot', facts);
  }

  /** The page comes last: without it the image does not count. */
  #keep(page: SnapshotPage): void {
    const file = this.#file(page.snapshot, 'json');
    writeFileSync(file + NEW, JSON.stringify(page), { mode: 0o600, flush: true });
    renameSync(file + NEW, file);
    this.#pages.set(page.snapshot, page);
  }

  /**
   * The disk of a sandbox that has just ended, without a copy. Resolves when it is out of the sandbox's folder, or cannot be
   * had; it is listed once it is whole, by the next warden if this one ends before.
   */
  async keepDisk(source: SnapshotSource, file: string): Promise<void> {
    const moved = Promise.withResolvers<void>();
    const take = async (to: string): Promise<void> => {
      writeFileSync(join(this.#folder, source.snapshot + MOVED), JSON.stringify(source), { mode: 0o600, flush: true });
      await takeDisk(file, to);
      moved.resolve();
    };
    this.make(source, take).catch(tellLoss(source)).finally(moved.resolve);
    await moved.promise;
  }

  /**
   * Puts a copy at the place of a new sandbox's disk, with every file its user's.
   * @errors rejects with Fault `unknown_snapshot`, `snapshot_digest_mismatch` (the bytes are not those that were named)
   * or `snapshot_too_large`
   */
  async restore({ snapshot, sha256 }: SnapshotRef, disk: Disk, ownerUid: number): Promise<void> {
    const page = this.page(snapshot);
    const needed = page.disk_mib * MIB;
    if (disk.kind !== 'image' || disk.bytesMax < needed) {
      const facts = { cap: 'disk_mib', asked: disk.bytesMax / MIB, available: page.disk_mib };
      throw refused('snapshot_too_large', 'the disk is smaller than the one of the snapshot', facts);
    }
    mkdirSync(disk.mountPoint, { mode: 0o711 });
    const kept = this.#file(snapshot, 'img');
    const digest = imageTask({ file: kept, digest: true }).catch(() => 'unreadable');
    const [found] = await Promise.all([digest, copyDisk(kept, disk.file, RESTORE_MS_MAX)]);
    if (found !== sha256) {
      const facts = { snapshot, asked: sha256, found };
      throw refused('snapshot_digest_mismatch', 'the bytes of the snapshot are not those that were kept', facts);
    }
    await imageTask({ file: disk.file, owner: ownerUid });
    await growDisk(disk.file, disk.bytesMax);
  }

  /** Nothing when there is none. One that is being made is waited for first. */
  async remove(id: string): Promise<void> {
    await this.#underWay.get(id)?.catch(() => undefined);
    this.#pages.delete(id);
    for (const end of ['json', 'img']) rmSync(this.#file(id, end), { force: true });
  }

  /** Resolves when nothing is under way. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#underWay.values());
  }

  #file(id: string, end: string): string {
    return join(this.#folder, `${id}.${end}`);
  }
}

const tellLoss =
  ({ snapshot, sandbox }: SnapshotSource) =>
  (fault: Error): void =>
    console.error(`${snapshot} of ${sandbox} could not be kept: ${fault.message}`);

/** What an earlier warden had moved here and not finished. */
function movedIn(folder: string, name: string): SnapshotSource[] {
  if (!name.endsWith(MOVED)) return [];
  try {
    const source = JSON.parse(readFileSync(join(folder, name), 'utf8')) as SnapshotSource;
    const isHere = name === source.snapshot + MOVED && existsSync(join(folder, `${source.snapshot}.img${NEW}`));
    return isHere ? [source] : [];
  } catch {
    return []; // half written
  }
}

const tooMany = (name: string, cap: number): Fault =>
  new Fault('busy', 'too_many_snapshots', 'too many snapshots', { name, cap, asked: cap + 1, available: 0 });

/** The page of that name, when its image is there and of its size. */
function pageIn(folder: string, name: string): SnapshotPage[] {
  if (!name.endsWith('.json')) return [];
  try {
    const page = JSON.parse(readFileSync(join(folder, name), 'utf8')) as SnapshotPage;
    const image = join(folder, `${page.snapshot}.img`);
    const isWhole =
      name === `${page.snapshot}.json` && existsSync(image) && statSync(image).size === page.disk_mib * MIB;
    return isWhole ? [page] : [];
  } catch {
    return []; // half written
  }
}
