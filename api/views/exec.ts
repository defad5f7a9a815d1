/**
 * A command as callers see it.
 * Promise: bytes that are not text become U+FFFD; nothing of its arguments or environment is shown.
 */
import type { ExecView, OutputPage } from '@tallystick/engine/adapters/provider';
import { ExecEndKind } from '@tallystick/proto';
import { timestampFromUs } from '../view-parts.ts';

const STDOUT = 1;

const END: Record<string, ExecEndKind> = {
  exited: ExecEndKind.EXITED,
  signaled: ExecEndKind.SIGNALED,
  oom: ExecEndKind.OOM,
  timeout: ExecEndKind.TIMEOUT,
  lease_ended: ExecEndKind.LEASE_ENDED,
  killed: ExecEndKind.KILLED,
  sandbox_lost: ExecEndKind.SANDBOX_LOST,
  not_started: ExecEndKind.NOT_STARTED,
};

/** `page` undefined: without output. */
export function execMessage(sandboxId: string, view: ExecView, page: OutputPage | undefined, receiptId: string) {
  const cursor = page?.next_cursor ?? 0;
  const { end, tty } = view;
  return {
    execId: view.exec_id,
    sandboxId,
    running: view.state === 'running',
    end: end === null ? ExecEndKind.UNSPECIFIED : (END[end.end] ?? ExecEndKind.UNSPECIFIED),
    ...(end?.end === 'exited' ? { exitCode: end.code } : {}),
    signal: end?.end === 'signaled' ? end.signal : '',
    startError: end?.end === 'not_started' ? end.code : '',
    stdout: textOf(page, (stream) => stream === STDOUT),
    stderr: textOf(page, (stream) => stream !== STDOUT),
    cursor: BigInt(cursor),
    stdoutBytes: BigInt(view.stdout_bytes),
    stderrBytes: BigInt(view.stderr_bytes),
    more: page !== undefined && !page.at_end && cursor < view.stdout_bytes + view.stderr_bytes,
    receiptId,
    program: view.program,
    ...(tty === null ? {} : { tty: { columns: tty.columns, rows: tty.rows } }),
    startedAt: timestampOf(view.started_at_us),
    ...(view.ended_at_us === null ? {} : { endedAt: timestampOf(view.ended_at_us) }),
  };
}

const timestampOf = (us: number) => timestampFromUs(BigInt(Math.trunc(us)));

const textOf = (page: OutputPage | undefined, isWanted: (stream: number) => boolean): string =>
  Buffer.concat((page?.chunks ?? []).filter(({ stream }) => isWanted(stream)).map(({ bytes }) => bytes)).toString(
    'utf8',
  );
