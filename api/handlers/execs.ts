/**
 * Commands in a sandbox: receipted first, then started, then followed.
 * Promise: an exec id starts at most once whatever is repeated; output is read by cursor and never twice.
 */
import { createHash } from 'node:crypto';
import type { Engine } from '@tallystick/engine';
import { type ExecView, type Provider, ProviderFault } from '@tallystick/engine/adapters/provider';
import { ExecService } from '@tallystick/proto';
import { implement, refuse } from '@tallystick/surface';
import { recordedExecs } from '../exec-records.ts';
import { execIdOf } from '../ids.ts';
import { askProvider } from '../provider-refusal.ts';
import type { Till } from '../quotes/till.ts';
import { execMessage } from '../views/exec.ts';
import { execInputHandlers } from './exec-input.ts';
import { receiptAndStart } from './exec-start.ts';
import { readySandbox } from './ready-sandbox.ts';
import { checkReleased } from './secrets.ts';
import { workingSandbox } from './working-sandbox.ts';

const WAIT_MS_DEFAULT = 10_000;
const OUTPUT_BYTES_MAX = 1024 * 1024;

export interface ExecOptions {
  engine: Engine;
  provider: Provider;
  /** Reaches the same machine and is used for what may wait long. */
  watching: Provider;
  /** Absent where nobody can pay for a request. */
  till: Till | undefined;
}

export const execHandlers = ({ engine, provider, watching, till }: ExecOptions) =>
  implement(ExecService, {
    async execSandbox(request, call) {
      const { id, secrets, sensitive } = request;
      await workingSandbox(engine, call, id, till);
      await checkReleased(provider, id, secrets, sensitive);
      const execId = request.execId || execIdOf(call.principal!.id, call.idempotencyKey);
      const timeoutMs = request.timeoutMs === undefined ? undefined : Number(request.timeoutMs);
      const body = {
        exec_id: execId,
        argv_sha256: createHash('sha256').update(JSON.stringify(request.argv)).digest('hex'),
        program: request.argv[0]!.slice(0, PROGRAM_CHARS_MAX),
        timeout_ms: timeoutMs ?? null,
        ...(secrets.length === 0 ? {} : { secrets }),
      };
      const spec = {
        exec_id: execId,
        argv: request.argv,
        env: request.env,
        secrets,
        sensitive,
        ...(request.cwd === '' ? {} : { cwd: request.cwd }),
        ...(request.stdin.length === 0 ? {} : { stdin: request.stdin }),
        ...(timeoutMs === undefined ? {} : { timeout_ms: timeoutMs }),
        ...(request.tty ? { tty: { columns: request.tty.columns, rows: request.tty.rows } } : {}),
        ...(request.stdinOpen ? { stdin_open: true } : {}),
      };
      const receiptId = await receiptAndStart(engine, provider, call, { id, spec, body });
      const waitMs = request.waitMs === undefined ? WAIT_MS_DEFAULT : Number(request.waitMs);
      const view = await untilEnded(watching, id, execId, waitMs);
      const page = await askProvider('EXEC_REFUSED', {}, () =>
        provider.output(id, execId, { after: 0, maxBytes: OUTPUT_BYTES_MAX }),
      );
      return execMessage(id, view, page, receiptId);
    },
    async getExec({ id, execId, after, waitMs }, call) {
      const { stopped_at_us } = await readySandbox(engine, call, id);
      const query = { after: Number(after), waitMs: Number(waitMs), maxBytes: OUTPUT_BYTES_MAX };
      const page = await askProvider('NOT_FOUND', {}, () => unlessGone(watching.output(id, execId, query)));
      if (page) return execMessage(id, page, page, '');
      const recorded = await recordedExecs(engine, id, stopped_at_us);
      const view = recorded.find(({ exec_id }) => exec_id === execId);
      if (!view) throw refuse('NOT_FOUND', {}, `there is no command ${execId} in ${id}`);
      return execMessage(id, view, undefined, '');
    },
    async listExecs({ id }, call) {
      const { stopped_at_us } = await readySandbox(engine, call, id);
      const kept = await askProvider('NOT_FOUND', {}, () => unlessGone(provider.listExecs(id)));
      const views = kept ?? (await recordedExecs(engine, id, stopped_at_us));
      return { execs: views.map((view) => execMessage(id, view, undefined, '')) };
    },
    ...execInputHandlers(engine, provider),
    async signalExec({ id, execId, signal }, call) {
      await workingSandbox(engine, call, id);
      const view = await askProvider('EXEC_REFUSED', {}, () => provider.signalExec(id, execId, signal));
      return execMessage(id, view, undefined, '');
    },
  });

/** Undefined when the machine does not know the sandbox any more: it has died, or forgotten. */
async function unlessGone<T>(asking: Promise<T>): Promise<T | undefined> {
  try {
    return await asking;
  } catch (fault) {
    if (fault instanceof ProviderFault && fault.code === UNKNOWN_SANDBOX) return undefined;
    throw fault;
  }
}

const UNKNOWN_SANDBOX = 'unknown_sandbox';
const PROGRAM_CHARS_MAX = 128;

async function untilEnded(provider: Provider, sandbox: string, execId: string, waitMs: number): Promise<ExecView> {
  return askProvider('EXEC_REFUSED', {}, () => provider.getExec(sandbox, execId, waitMs));
}
