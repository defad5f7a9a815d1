/**
 * `tally snapshot`: file systems that outlive their sandboxes.
 * Promise: what is kept, how large it is and when it goes by itself is always shown.
 */
import { plain, type Snapshot, SnapshotSchema } from '@tallystick/sdk';
import { Argument, type Command } from 'commander';
import type { Column, PlainObject } from '../output/render.ts';
import { addCommand, count, duration, given, idOf, onRun, type World, withKey } from './command.ts';
import { take } from './job.ts';

const LIST_MAX_DEFAULT = 50;
const LIST_MAX = 10_000;

const COLUMNS: Column[] = [
  { field: 'id', heading: 'SNAPSHOT' },
  { field: 'label', heading: 'LABEL' },
  { field: 'status', heading: 'STATUS' },
  { field: 'cause', heading: 'CAUSE' },
  { field: 'sandbox_id', heading: 'OF' },
  { field: 'disk_mib', heading: 'DISK MIB' },
  { field: 'size_bytes', heading: 'BYTES' },
  { field: 'expires_at', heading: 'EXPIRES' },
];

const jsonOf = (snapshot: Snapshot): PlainObject => plain(SnapshotSchema, snapshot) as PlainObject;
const withSnapshot = (command: Command): Command =>
  command.addArgument(new Argument('<snapshot>', 'id of the snapshot: snp_…').argParser(idOf('snp')));

export function addSnapshotCommands(program: Command, world: World): void {
  const snapshot = program.command('snapshot').summary('file systems that outlive their sandboxes');
  addCreate(snapshot, world);
  addList(snapshot, world);
  const get = addCommand(snapshot, {
    usage: 'get',
    summary: 'read one snapshot',
    examples: ['tally snapshot get snp_0192…'],
  });
  onRun(world, withSnapshot(get), async ({ connect, out }, [id]) => {
    await out.record(jsonOf(await (await connect()).snapshots.get(id!)));
  });
  const remove = addCommand(snapshot, {
    usage: 'delete',
    summary: 'delete a snapshot; sandboxes that were started from it stay',
    examples: ['tally snapshot delete snp_0192…'],
  });
  onRun<{ key?: string }>(world, withKey(withSnapshot(remove)), async ({ connect, out }, [id], { key }) => {
    await out.record(jsonOf(await (await connect()).snapshots.delete(id!, given({ key }))));
  });
}

interface CreateOptions {
  label?: string;
  ttl?: bigint;
  wait?: bigint;
  key?: string;
}

function addCreate(snapshot: Command, world: World): void {
  const create = addCommand(snapshot, {
    usage: 'create',
    summary: 'keep the file system of a sandbox as it is now; its processes go on',
    examples: [
      'tally snapshot create sbx_0192… --label installed',
      'tally sandbox create --job job_0192… --snapshot snp_0192…',
    ],
  })
    .addArgument(new Argument('<sandbox>', 'id of the sandbox: sbx_…').argParser(idOf('sbx')))
    .option('--label <name>', 'a name')
    .option('--ttl <time>', 'how long to keep it (default: as long as your tier allows)', duration)
    .option('--wait <time>', 'how long to wait until it is whole (default: 60s)', duration);
  onRun<CreateOptions>(world, withKey(create), async ({ connect, out }, [id], { label, ttl, wait, key }) => {
    const sandbox = (await connect()).sandboxes.attach(id!);
    await out.record(jsonOf(await sandbox.snapshot(given({ label, ttlMs: ttl, waitMs: wait, key }))));
  });
}

function addList(snapshot: Command, world: World): void {
  const list = addCommand(snapshot, {
    usage: 'list',
    summary: 'list the snapshots that are kept, newest first',
    examples: ['tally snapshot list', 'tally snapshot list --of sbx_0192… --json'],
  })
    .option('--of <sandbox>', 'only snapshots of this sandbox', idOf('sbx'))
    .option('--max <count>', 'at most this many', count(1, LIST_MAX), LIST_MAX_DEFAULT);
  onRun<{ of?: string; max: number }>(world, list, async ({ connect, out }, _, { of, max }) => {
    const snapshots = (await connect()).snapshots.list(given({ sandboxId: of }));
    await out.list('snapshots', await take(snapshots, max, jsonOf), COLUMNS);
  });
}
