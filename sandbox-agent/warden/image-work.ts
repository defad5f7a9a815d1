/**
 * Long work on disk images, on a thread of its own: reading them through and giving their files to another user.
 * Promise: the warden's loop never waits for a disk, and the work comes after everybody's machines.
 */
import { setPriority } from 'node:os';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { contentDigest, giveAllTo, syncFile } from './image-content.ts';

/** In this order: give all files to `ownerBefore`, take the digest, give all files to `ownerAfter`, sync. */
export interface ImageTask {
  file: string;
  ownerBefore?: number;
  ownerAfter?: number;
  /** `ownerAfter` is not given when the digest is another one. */
  expected?: string;
  sync?: boolean;
}

const LOW_PRIORITY = 5;

function carryOut({ file, ownerBefore, ownerAfter, expected, sync }: ImageTask): string {
  if (ownerBefore !== undefined) giveAllTo(file, ownerBefore);
  const digest = contentDigest(file);
  if (ownerAfter !== undefined && (expected === undefined || expected === digest)) giveAllTo(file, ownerAfter);
  if (sync) syncFile(file);
  return digest;
}

/** The image's digest. @errors rejects with what the disk or the image refused */
export function imageTask(task: ImageTask): Promise<string> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: task });
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', (code) => reject(new Error(`the work on an image ended with ${code}`)));
  });
}

if (!isMainThread && parentPort) {
  setPriority(0, LOW_PRIORITY); // 0: this thread; the warden's own priority is not for long work
  parentPort.postMessage(carryOut(workerData as ImageTask));
}
