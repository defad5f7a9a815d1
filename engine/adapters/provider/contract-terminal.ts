/**
 * What every provider must do with terminals and with what is typed, as part of the suite over the port.
 * Promise: a terminal has a size that can change, and a piece that is repeated is typed once.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ContractRig } from './contract.ts';
import { ProviderFault } from './port.ts';

const WAIT_MS = 10_000;
const SIZE = { columns: 91, rows: 33 };

const isFault = (code: string) => (fault: unknown) => {
  assert.ok(fault instanceof ProviderFault, String(fault));
  assert.deepEqual([fault.kind, fault.code], ['refused', code]);
  return true;
};

async function outputOf({ provider }: ContractRig, sandbox: string, execId: string): Promise<string> {
  const { chunks } = await provider.output(sandbox, execId);
  assert.ok(chunks.every(({ stream }) => stream === 1));
  return Buffer.concat(chunks.map(({ bytes }) => bytes)).toString();
}

/** Call inside a `describe`; `sandbox` is asked when the tests run. */
export function terminalContract(rigged: () => ContractRig, sandbox: () => string): void {
  test('a command on a terminal is listed with its size, hears a new one, and ends with its input', async () => {
    const rig = rigged();
    const { provider } = rig;
    const asked = { exec_id: 'tty', argv: ['cat'], tty: SIZE };
    if (!(await provider.descriptor()).terminals)
      return assert.rejects(provider.startExec(sandbox(), asked), isFault('no_terminals'));
    const started = await provider.startExec(sandbox(), asked);
    assert.deepEqual([started.program, started.tty], ['cat', SIZE]);
    const resized = await provider.resizeExec(sandbox(), 'tty', { columns: 120, rows: 40 });
    assert.deepEqual(resized.tty, { columns: 120, rows: 40 });
    assert.deepEqual(await provider.writeStdin(sandbox(), 'tty', Buffer.from('hello\r'), false), { position: 6 });
    await provider.output(sandbox(), 'tty', { waitMs: WAIT_MS });
    const listed = (await provider.listExecs(sandbox())).find(({ exec_id }) => exec_id === 'tty');
    assert.deepEqual([listed?.state, listed?.program, listed?.tty?.rows], ['running', 'cat', 40]);
    await provider.writeStdin(sandbox(), 'tty', Buffer.alloc(0), true);
    assert.deepEqual((await provider.getExec(sandbox(), 'tty', WAIT_MS)).end, { end: 'exited', code: 0 });
    assert.match(await outputOf(rig, sandbox(), 'tty'), /hello\r/);
  });

  test('what a writer repeats is typed once, and a gap is refused', async () => {
    const rig = rigged();
    const { provider } = rig;
    const type = (text: string, at: number, end = false) =>
      provider.writeStdin(sandbox(), 'typed', Buffer.from(text), end, { writer: 'me', at });
    await provider.startExec(sandbox(), { exec_id: 'typed', argv: ['cat'], stdin_open: true });
    await type('abc', 0);
    assert.deepEqual(await type('abc', 0), { position: 3 });
    await assert.rejects(type('x', 9), isFault('stdin_gap'));
    await type('cd', 2, true);
    assert.deepEqual((await provider.getExec(sandbox(), 'typed', WAIT_MS)).end, { end: 'exited', code: 0 });
    assert.equal(await outputOf(rig, sandbox(), 'typed'), 'abcd');
  });

  test('a command without terminal or input says so', async () => {
    const { provider } = rigged();
    await provider.startExec(sandbox(), { exec_id: 'plain', argv: ['sleep', '60'] });
    await assert.rejects(provider.resizeExec(sandbox(), 'plain', SIZE), isFault('no_terminal'));
    await assert.rejects(provider.writeStdin(sandbox(), 'plain', Buffer.from('x'), false), isFault('no_stdin'));
    await provider.signalExec(sandbox(), 'plain', 'SIGKILL');
    await provider.getExec(sandbox(), 'plain', WAIT_MS);
    await assert.rejects(provider.resizeExec(sandbox(), 'plain', SIZE), isFault('not_running'));
  });
}
