/**
 * Starts selling processes for crash tests.
 * Promise: `acknowledged` holds exactly what the process printed, also after it was killed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { WorkerOrder, WorkerReport } from './worker.ts';

export interface Worker {
  child: ChildProcess;
  acknowledged: string[];
  ready: Promise<void>;
  /** Undefined when it was killed. */
  report: Promise<WorkerReport | undefined>;
  go(): void;
  /** Resolves when so many keys were acknowledged, or the process ended. */
  reached(count: number): Promise<void>;
}

export function spawnWorker(order: WorkerOrder): Worker {
  const { types: _types, ...connection } = order.connection as WorkerOrder['connection'] & { types?: unknown };
  const args = [join(import.meta.dirname, 'worker.ts'), JSON.stringify({ ...order, connection })];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const acknowledged: string[] = [];
  const ready = Promise.withResolvers<void>();
  const report = Promise.withResolvers<WorkerReport | undefined>();
  let marks: { count: number; reached: () => void }[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (line === 'ready') ready.resolve();
    else if (line.startsWith('{')) report.resolve(JSON.parse(line));
    else acknowledged.push(line);
    for (const mark of marks) if (acknowledged.length >= mark.count) mark.reached();
    marks = marks.filter((mark) => acknowledged.length < mark.count);
  });
  child.on('close', () => {
    report.resolve(undefined);
    for (const mark of marks) mark.reached();
  });
  child.stdin.on('error', () => undefined); // it was killed before it was told to go
  return {
    child,
    acknowledged,
    ready: ready.promise,
    report: report.promise,
    go: () => child.stdin.end('go'),
    reached(count) {
      if (acknowledged.length >= count || child.exitCode !== null) return Promise.resolve();
      const mark = Promise.withResolvers<void>();
      marks.push({ count, reached: mark.resolve });
      return mark.promise;
    },
  };
}
