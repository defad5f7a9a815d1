/**
 * The agent's work: sends the input to its machine, audits it there, brings the report back.
 * Promise: the audit runs inside the sandbox on what was uploaded; here nothing is computed but progress.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Sandbox } from '@tallystick/sdk';
import type { Narrator } from './narrator.ts';

const AUDIT = join(import.meta.dirname, 'audit.mjs');
const MIB = 1_048_576;
const MS_PER_SECOND = 1_000;

export interface Work {
  /** Path of the report here. */
  report: string;
  uploadedBytes: number;
  uploadMs: number;
  auditMs: number;
  totals: Totals;
}

export interface Totals {
  files: number;
  bytes: number;
  packages: number;
  licences: number;
  with_install_scripts: number;
  duplicate_versions: number;
  secret_like_files: number;
}

/** @errors throws when the money ends before the work does, or the audit fails. */
export async function doWork(
  sandbox: Sandbox,
  options: { input: string; outputFolder: string; say: Narrator },
): Promise<Work> {
  const { input, outputFolder, say } = options;
  await sandbox.upload('audit.mjs', readFileSync(AUDIT));
  const uploadStartMs = performance.now();
  const uploaded = await sandbox.uploadTree(input, 'input', {
    onProgress: ({ bytes }) => say.progress(`uploading ${(bytes / MIB).toFixed(1)} MiB`),
  });
  const uploadMs = performance.now() - uploadStartMs;
  say.good(
    `${(Number(uploaded.bytes) / MIB).toFixed(1)} MiB uploaded in ${seconds(uploadMs)} s, SHA-256 in receipt ${uploaded.receiptId}`,
  );
  const auditStartMs = performance.now();
  const run = await sandbox.exec(['node', 'audit.mjs', 'input', 'report']);
  const auditMs = performance.now() - auditStartMs;
  if (run.end === 'lease_ended')
    throw new Error(
      `the money ended first: the upload took ${seconds(uploadMs)} s, the audit ran for ${seconds(auditMs)} s. Give more (--budget) or a smaller folder (--input).`,
    );
  if (run.exitCode !== 0)
    throw new Error(
      `the audit ended with ${[run.end, run.exitCode].filter((one) => one !== undefined).join(' ')}: ${run.stderr.slice(0, 500)}`,
    );
  const totals = JSON.parse(run.stdout) as Totals;
  const report = await bring(sandbox, outputFolder, 'report.md');
  await bring(sandbox, outputFolder, 'report.json');
  say.good(
    `audited inside in ${seconds(auditMs)} s: ${totals.packages} packages, ${totals.licences} licences, ${totals.with_install_scripts} with install scripts`,
  );
  say.good(`report brought back: ${report}`);
  return { report, uploadedBytes: Number(uploaded.bytes), uploadMs, auditMs, totals };
}

const seconds = (ms: number): string => (ms / MS_PER_SECOND).toFixed(1);

async function bring(sandbox: Sandbox, folder: string, name: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of sandbox.download(`report/${name}`)) chunks.push(chunk);
  const path = join(folder, name);
  writeFileSync(path, Buffer.concat(chunks));
  return path;
}
