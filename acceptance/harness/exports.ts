/**
 * What principals take away of the log, checked as they check it: in another process, without the platform.
 * Promise: every export is made by its owner through the public door.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Tally } from '@tallystick/sdk';
import { ROOT, temporaryFolder } from './platform.ts';

const VERIFIED_BYTES_MAX = 64 << 20;
/** Each check is a process of its own. */
const AT_ONCE = 3;

export async function assertExportsVerify(owners: readonly Tally[]): Promise<void> {
  const folder = temporaryFolder();
  try {
    for (let from = 0; from < owners.length; from += AT_ONCE)
      await Promise.all(
        owners.slice(from, from + AT_ONCE).map((tally, i) => assertOne(tally, join(folder, `${from + i}.jsonl`))),
      );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function assertOne(tally: Tally, path: string): Promise<void> {
  await tally.receipts.export(path);
  const { ok, problems } = await verifyOffline(path);
  assert.ok(ok, `[I-21] ${JSON.stringify(problems)}`);
}

async function verifyOffline(path: string): Promise<{ ok: boolean; problems: unknown[] }> {
  const args = [join(ROOT, 'terminal', 'main.ts'), 'verify', path, '--json'];
  const run = promisify(execFile)(process.execPath, args, { maxBuffer: VERIFIED_BYTES_MAX });
  const { stdout } = await run.catch((fault: { stdout: string }) => fault);
  return JSON.parse(stdout);
}
