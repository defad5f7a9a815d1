/**
 * Commands of a machine that is no more, as their receipts tell them.
 * Promise: what was receipted is told the same after the machine's death; what it printed went with it, its lengths did not.
 */
import { type Engine, FROM_START, PAGE_MAX, readReceipts } from '@tallystick/engine';
import type { ExecView } from '@tallystick/engine/adapters/provider';
import { type JsonObject, optionalIn, type Receipt, textIn } from '@tallystick/kernel';

/** Receipts of one sandbox that are looked through. */
const PAGES_MAX = 40;
const LOST = { end: 'sandbox_lost' } as const;

/** Every command of the sandbox, in the order of their starts. One that was never heard to end was lost with its machine. */
export async function recordedExecs(engine: Engine, id: string, endedAtUs: string | null): Promise<ExecView[]> {
  const execs = new Map<string, ExecView>();
  let after = FROM_START;
  for (let page = 0; page < PAGES_MAX; page++) {
    const rows = await readReceipts(engine, { stream: `sandbox:${id}`, after, limit: PAGE_MAX });
    for (const { bytes } of rows) {
      const { events, at_us } = JSON.parse(bytes.toString('utf8')) as Receipt;
      for (const { type, body } of events) {
        if (type === 'ExecStarted') execs.set(textIn(body, 'exec_id'), startedView(body, at_us, endedAtUs ?? at_us));
        const known = type === 'ExecFinished' ? execs.get(textIn(body, 'exec_id')) : undefined;
        if (known) execs.set(known.exec_id, finishedView(known, body, at_us));
      }
    }
    if (rows.length < PAGE_MAX) break;
    after = rows.at(-1)!.pos;
  }
  return [...execs.values()];
}

const startedView = (body: JsonObject, startedAtUs: string, endedAtUs: string): ExecView => ({
  exec_id: textIn(body, 'exec_id'),
  state: 'ended',
  end: LOST,
  program: textIn(body, 'program'),
  tty: null,
  stdout_bytes: 0,
  stderr_bytes: 0,
  started_at_us: Number(startedAtUs),
  ended_at_us: Number(endedAtUs),
});

function finishedView(started: ExecView, body: JsonObject, endedAtUs: string): ExecView {
  const [end, signal] = [textIn(body, 'end'), optionalIn(body, 'signal', textIn)];
  const code = body['exit_code'] as number | null;
  return {
    ...started,
    end: { end, ...(code === null ? {} : { code }), ...(signal ? { signal } : {}) } as ExecView['end'],
    stdout_bytes: Number(body['stdout_bytes']),
    stderr_bytes: Number(body['stderr_bytes']),
    ended_at_us: Number(endedAtUs),
  };
}
