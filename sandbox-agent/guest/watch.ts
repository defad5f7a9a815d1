/**
 * Says what changes below a directory, one line of JSON each, until it is cancelled.
 * Promise: it tells what is so, not every step to it; a reader that is too slow is told that it missed something.
 */
import { Readable } from 'node:stream';
import type { Work } from './exec.ts';
import { type Done, NOTHING } from './files.ts';
import { Kind } from './frame.ts';
import { outflow, type Send } from './outflow.ts';
import { type Change, WatchTree } from './watch-tree.ts';

/** Changes that come together are told as one look. */
const SETTLE_MS = 20;
/** How soon what the kernel's queue has lost is found. */
const SWEEP_EVERY_MS = 5_000;
/** Told and not yet taken. */
const WAITING_BYTES_MAX = 256 * 1024;

/** Lines on their way out; when the reader is too slow they are left out, and that is told as soon as there is room. */
function lines(send: Send) {
  const flow = outflow(send);
  const stream = new Readable({ read: () => {} });
  let isMissing = false;
  const write = (change: Change): void => void stream.push(`${JSON.stringify(change)}\n`);
  const tellMissing = (): void => {
    if (!isMissing || stream.readableLength > 0) return;
    isMissing = false;
    write({ kind: 'missed', path: '', reason: 'behind' });
  };
  flow.pump(stream, Kind.out);
  return {
    tell: (change: Change): void => {
      tellMissing();
      if (stream.readableLength > WAITING_BYTES_MAX) isMissing = true;
      if (!isMissing) write(change);
    },
    credit: (bytes: number): void => {
      flow.credit(bytes);
      setImmediate(tellMissing);
    },
    stop: flow.stop,
  };
}

/** Says `meta {directories}` when it looks, and ends with `gone` when the directory is removed or moved. */
export function startWatch({ path, recursive }: { path: string; recursive: boolean }, send: Send, done: Done): Work {
  const out = lines(send);
  let isOver = false;
  let settling: NodeJS.Timeout | undefined;
  const close = (): void => {
    isOver = true;
    clearTimeout(settling);
    clearTimeout(sweeping);
    tree.close();
  };
  const flush = (): void => {
    settling = undefined;
    if (isOver || tree.flush()) return;
    close();
    done(Kind.end, { reason: 'gone' });
  };
  const settle = (): void => {
    settling ??= setTimeout(flush, SETTLE_MS);
  };
  const tree = new WatchTree(path, recursive, out.tell, settle);
  const sweep = (steps: Iterator<void>): void => {
    if (isOver) return;
    const isDone = steps.next().done;
    flush();
    if (!isDone) setImmediate(sweep, steps);
    else if (!isOver) sweeping = setTimeout(() => sweep(tree.sweep()), SWEEP_EVERY_MS);
  };
  let sweeping = setTimeout(() => sweep(tree.sweep()), SWEEP_EVERY_MS);
  send(Kind.meta, { directories: tree.directories });
  const cancel = (): void => {
    close();
    out.stop();
  };
  return { ...NOTHING, credit: out.credit, cancel };
}
