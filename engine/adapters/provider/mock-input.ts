/**
 * What is typed into the mock's commands: said back as it comes, as `cat` would.
 * Promise: each writer's bytes count once, and only a terminal has a size.
 */
import { type MockExec, writeChunk } from './mock-sandbox.ts';
import { type FactValue, ProviderFault, type StdinPlace, type TerminalSize } from './port.ts';

const refuse = (code: string, detail: string, facts?: Record<string, FactValue>): ProviderFault =>
  new ProviderFault('refused', code, detail, facts);

/** Returns how many bytes the writer has written in all. @errors throws ProviderFault `not_running`, `no_stdin`, `stdin_gap` */
export function typeInto(exec: MockExec, bytes: Uint8Array, place: StdinPlace = { writer: '', at: -1 }): number {
  if (exec.end) throw refuse('not_running', 'the command has ended');
  if (!exec.isStdinOpen) throw refuse('no_stdin', 'the command was started without an open standard input');
  const position = exec.positions.get(place.writer) ?? 0;
  const at = place.at < 0 ? position : place.at;
  if (at > position) throw refuse('stdin_gap', 'bytes of this writer are missing', { position, asked: at });
  const fresh = Buffer.from(bytes).subarray(Math.min(position - at, bytes.length));
  exec.positions.set(place.writer, position + fresh.length);
  if (fresh.length > 0) writeChunk(exec, 1, fresh);
  return position + fresh.length;
}

/** @errors throws ProviderFault `not_running` or `no_terminal` */
export function resize(exec: MockExec, size: TerminalSize): void {
  if (exec.end) throw refuse('not_running', 'the command has ended');
  if (!exec.tty) throw refuse('no_terminal', 'the command runs on no terminal');
  exec.tty = size;
}
