/**
 * The isolation levels that this machine can be tested at, each found out by trying.
 * Promise: a level that is left out carries the reason why, for the test runner to print.
 */
import { rmSync } from 'node:fs';
import { removeGround } from '../warden/ground.ts';
import { type AskedLevel, chooseLevel, groundAt } from '../warden/level.ts';
import { type OwnGround, temporaryFolder } from './rig.ts';

/** A ground of its own on which a sandbox of this level has run. @errors rejects with Fault `cannot_isolate` */
export async function triedGround(level: AskedLevel): Promise<OwnGround> {
  const folder = temporaryFolder();
  try {
    const ground = await groundAt(folder, chooseLevel(level, false));
    const remove = async (): Promise<void> => {
      await removeGround(ground, folder);
      rmSync(folder, { recursive: true, force: true });
    };
    return { ground, folder, remove };
  } catch (fault) {
    rmSync(folder, { recursive: true, force: true });
    throw fault;
  }
}

const reasons = new Map<AskedLevel, Promise<string | undefined>>();

/** Undefined when the level works here; tried once for all test files of one process. */
export function reasonAgainst(level: AskedLevel): Promise<string | undefined> {
  const reason = reasons.get(level) ?? findReason(level);
  reasons.set(level, reason);
  return reason;
}

async function findReason(level: AskedLevel): Promise<string | undefined> {
  try {
    await (await triedGround(level)).remove();
    return undefined;
  } catch (fault) {
    return (fault as Error).message;
  }
}
