/**
 * Long work on disk images, on a thread of its own: reading them through and giving their files to another user.
 * Promise: the warden's loop never waits for a disk, and the work has no priority over anybody's machine.
 */
import { setPriority } from 'node:os';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { contentDigest, giveAllTo, syncFile } from './image-content.ts';

/** In this order: give all files to `owner`, take the digest, sync. */
export interface ImageTask {
  file: string;
  owner?: number;
  digest?: boolean;
  sync?: boolean;
}

const USUAL_PRIORITY = 0;

function carryOut({ file, owner, digest, sync }: ImageTask): string {
  if (owner !== undefined) giveAllTo(file, owner);
  const found = digest ? contentDigest(file) : '';
  if (sync) syncFile(file);
  return found;
}

/** The image's digest, when it was asked for. @errors rejects with what the disk or the image refused */
export function imageTask(task: ImageTask): Promise<string> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: task });
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', (code) => reject(new Error(`the work on an image ended with ${code}`)));
  });
}

if (!isMainThread && parentPort) {
  setPriority(0, USUAL_PRIORITY); // 0: this thread; the warden's own high priority is not for long work
  parentPort.postMessage(carryOut(workerData as ImageTask));
}
