/**
 * The start of a command: what is looked at before its receipt, and what follows when the machine refuses it afterwards.
 * Promise: an exec id is used for one command only; whatever is receipted as started has one end, at once if it never ran.
 */
import { type Engine, FROM_START, PAGE_MAX, readReceipts, readStream } from '@tallystick/engine';
import { type ExecSpec, type Provider, ProviderFault } from '@tallystick/engine/adapters/provider';
import { NOT_STARTED, type SandboxState } from '@tallystick/hosting';
import { type JsonObject, type Receipt, receiptIdOf } from '@tallystick/kernel';
import { type Call, refuse } from '@tallystick/surface';
import { commandFrom, executeFor } from '../outcome.ts';
import { askProvider, isUnreachable } from '../provider-refusal.ts';

/** Of a sandbox's receipts, when the first use of an exec id is looked for. */
const PAGES_MAX = 3;

/** Receipts the start of `spec` and carries it to the machine. @errors what the rule or the machine refuses */
export async function receiptAndStart(
  engine: Engine,
  provider: Provider,
  call: Call,
  { id, spec, body }: { id: string; spec: ExecSpec; body: JsonObject },
): Promise<string> {
  const isKnown = await isOnMachine(provider, id, spec.exec_id);
  const first = isKnown ? { first_receipt: await firstReceiptOf(engine, id, spec.exec_id) } : {};
  const command = commandFrom(call, { stream: `sandbox:${id}`, type: 'StartExec', body: { ...body, ...first } });
  const { receiptId, replayed, answer } = await executeFor(engine, call, command);
  if (replayed && !isKnown) await checkNotOver(engine, provider, { id, execId: spec.exec_id, answer });
  await start(engine, provider, id, spec);
  return receiptId;
}

async function isOnMachine(provider: Provider, id: string, execId: string): Promise<boolean> {
  try {
    await provider.getExec(id, execId, 0);
    return true;
  } catch (fault) {
    if (fault instanceof ProviderFault && !isUnreachable(fault)) return false;
    throw fault;
  }
}

/** Id of the receipt of the command that used this exec id first; empty when it lies too far back. */
async function firstReceiptOf(engine: Engine, id: string, execId: string): Promise<string> {
  let after = FROM_START;
  for (let page = 0; page < PAGES_MAX; page++) {
    const rows = await readReceipts(engine, { stream: `sandbox:${id}`, after, limit: PAGE_MAX });
    for (const { pos, bytes } of rows) {
      const { command, decision, at_us } = JSON.parse(bytes.toString('utf8')) as Receipt;
      const isIt = command.type === 'StartExec' && decision.rejection === null && command.body['exec_id'] === execId;
      if (isIt) return receiptIdOf(engine.shard, pos, BigInt(at_us));
    }
    if (rows.length < PAGE_MAX) break;
    after = rows.at(-1)!.pos;
  }
  return '';
}

/** A repetition goes on where the first try may have stopped, but never starts what was receipted as never started. */
async function checkNotOver(
  engine: Engine,
  provider: Provider,
  { id, execId, answer }: { id: string; execId: string; answer: JsonObject },
): Promise<void> {
  const { incarnation } = answer['sandbox'] as unknown as SandboxState;
  const state = (await readStream(engine, `sandbox:${id}`))?.state as unknown as SandboxState | undefined;
  if (state?.incarnation === incarnation && state.execs.includes(execId)) return;
  if (await isOnMachine(provider, id, execId)) return; // it was started, and ended, since we looked first
  throw refuse('EXEC_REFUSED', { cause: NOT_STARTED }, 'the machine refused to start this command before');
}

async function start(engine: Engine, provider: Provider, id: string, spec: ExecSpec): Promise<void> {
  try {
    await provider.startExec(id, spec);
  } catch (fault) {
    if (fault instanceof ProviderFault && !isUnreachable(fault)) await tellNotStarted(engine, id, spec.exec_id);
    await askProvider('EXEC_REFUSED', {}, () => Promise.reject(fault));
  }
}

/** When the sandbox has ended meanwhile the rule refuses, and its commands have ended with it. */
async function tellNotStarted(engine: Engine, id: string, execId: string): Promise<void> {
  await engine.execute({
    principal: 'platform',
    key: `exec-refused:${id}:${execId}`,
    stream: `sandbox:${id}`,
    type: 'FinishExec',
    body: { exec_id: execId, end: NOT_STARTED, exit_code: null, signal: '', stdout_bytes: 0, stderr_bytes: 0 },
  });
}
