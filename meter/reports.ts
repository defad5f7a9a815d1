/**
 * What machines say, as commands: started, frozen, thawed, ended, a command's end.
 * Promise: each report has a key made of the machine's boot and its place there, so hearing it twice changes nothing.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Engine, Fault } from '@tallystick/engine';
import type {
  Created,
  ExecView,
  Provider,
  ProviderEvent,
  SandboxSpec,
  SandboxView,
} from '@tallystick/engine/adapters/provider';
import type { Command, JsonObject } from '@tallystick/kernel';
import type { Logger } from 'pino';
import type { Contact } from './silence.ts';

const WAIT_MS = 5_000;
const RETRY_MS = 500;

export interface Reporting {
  engine: Engine;
  provider: Provider;
  providerName: string;
  log: Logger;
}

export async function reportCreated(reporting: Reporting, created: Created): Promise<void> {
  const { sandbox, incarnation, started_at_us, isolation, image_version, image_digest } = created;
  const image = { image_version, image_digest };
  const body = { incarnation, started_at_us: String(started_at_us), isolation, ...image };
  await report(reporting, sandbox, `started:${sandbox}:${incarnation}`, 'ReportStarted', body);
}

export async function reportStartFailed(reporting: Reporting, spec: SandboxSpec, cause: string): Promise<void> {
  const { sandbox, incarnation } = spec;
  await report(reporting, sandbox, `start-failed:${sandbox}:${incarnation}`, 'ReportStartFailed', {
    incarnation,
    cause,
  });
}

/** For an end whose event was dropped before it was read; when the event comes after all, it is refused. */
export async function reportMissedEnd(reporting: Reporting, view: SandboxView): Promise<void> {
  const { sandbox, incarnation, ended, running_ms, cpu_us } = view;
  await report(reporting, sandbox, `ended:${sandbox}:${incarnation}`, 'ReportEnded', {
    incarnation,
    at_us: String(ended?.at_us ?? 0),
    ran_ms: Math.floor(running_ms),
    cpu_us: String(Math.floor(cpu_us)),
    reason: ended?.reason ?? '',
  });
}

/** For a command that is receipted as running and is not: it never began there, or its end was never read. */
export async function reportExecOver(
  reporting: Reporting,
  { sandbox, incarnation }: SandboxView,
  execId: string,
  exec: ExecView | undefined,
): Promise<void> {
  const end = exec?.end ?? { end: 'not_started' };
  await report(reporting, sandbox, `exec-over:${sandbox}:${execId}`, 'FinishExec', {
    incarnation,
    ...execEnd({ ...end, exec_id: execId, stdout_bytes: exec?.stdout_bytes, stderr_bytes: exec?.stderr_bytes }),
  });
}

/** @errors throws Fault when the platform takes no command now: whoever reports must not go on as if it were heard. */
async function report(
  { engine, providerName, log }: Reporting,
  sandbox: string,
  key: string,
  type: string,
  body: JsonObject,
): Promise<void> {
  const command: Command = { principal: `provider:${providerName}`, key, stream: `sandbox:${sandbox}`, type, body };
  const outcome = await engine.execute(command);
  if (outcome.rejection === 'LIMITED') throw new Fault(`the queue is full: ${type} of ${sandbox} waits`);
  if (outcome.rejection !== undefined && !outcome.replayed)
    log.info({ sandbox, type, rejection: outcome.rejection }, 'a report was refused');
}

/** Follows the machine's own list of events until told to stop; a restart of either side reads again from its start. */
export async function followReports(reporting: Reporting & { contact: Contact }, signal: AbortSignal): Promise<void> {
  let after = 0;
  let bootId = '';
  while (!signal.aborted) {
    try {
      const page = await reporting.provider.events(after, WAIT_MS);
      reporting.contact.heard();
      if (page.boot_id !== bootId) {
        [bootId, after] = [page.boot_id, 0];
        continue;
      }
      for (const event of page.events) await carryIn(reporting, bootId, event);
      after = page.next_after;
    } catch (fault) {
      reporting.log.warn({ fault: (fault as Error).message }, 'the machine cannot be heard');
      await pause(RETRY_MS, signal);
    }
  }
}

async function carryIn(reporting: Reporting, bootId: string, event: ProviderEvent): Promise<void> {
  const command = commandOf(event);
  if (!command) return;
  try {
    await report(reporting, event.sandbox, `${bootId}:${event.seq}`, command.type, command.body);
  } catch (fault) {
    if (fault instanceof Fault) throw fault;
    // No repetition makes it better, and all other sandboxes of the machine wait behind it.
    reporting.log.error({ fault: String(fault), event }, 'an event makes no report');
  }
}

function commandOf(event: ProviderEvent): { type: string; body: JsonObject } | undefined {
  const at = { incarnation: event.incarnation, at_us: String(event.at_us) };
  switch (event.event) {
    case 'frozen':
      return { type: 'ReportFrozen', body: at };
    case 'thawed':
      return { type: 'ReportThawed', body: at };
    case 'ended': {
      const { ran_ms = 0, cpu_us = 0, reason = '' } = event;
      return {
        type: 'ReportEnded',
        body: { ...at, ran_ms: Math.floor(ran_ms), cpu_us: String(Math.floor(cpu_us)), reason },
      };
    }
    case 'exec_ended':
      return { type: 'FinishExec', body: execEnd(event) };
    default:
      return undefined;
  }
}

const execEnd = (event: Record<string, unknown>): JsonObject => ({
  exec_id: String(event['exec_id']),
  end: String(event['end']),
  exit_code: typeof event['code'] === 'number' ? event['code'] : null,
  signal: typeof event['signal'] === 'string' ? event['signal'] : '',
  stdout_bytes: Number(event['stdout_bytes'] ?? 0),
  stderr_bytes: Number(event['stderr_bytes'] ?? 0),
});

export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
