/** Typing into a command by tool. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startFakePlatform } from '@tallystick/sdk/testing';
import { openMcp } from '../testing/mcp.ts';
import { openTerminal } from '../testing/terminal.ts';

test('what an agent types reaches a running command once and in order, until it says that no more follows', async () => {
  await using fake = await startFakePlatform();
  await using terminal = await openTerminal(fake.url);
  terminal.env['TALLY_API_KEY'] = fake.addKey();
  await using mcp = await openMcp(terminal.env);
  const { id: jobId } = await mcp.call('job_create', { max_total_spend_micros: 1_000_000 });
  const { id } = await mcp.call('sandbox_create', { job_id: jobId });
  const execId = `exec_${'a'.repeat(32)}`;
  await mcp.call('sandbox_exec', { id, exec_id: execId, argv: ['cat'], stdin_open: true, wait_ms: 0 });
  const typed = { id, exec_id: execId };
  await mcp.call('sandbox_exec_input', { ...typed, content: 'one\n' });
  assert.deepEqual(await mcp.call('sandbox_exec_input', { ...typed, content: 'two\n', end: true }), {
    sandbox_id: id,
    exec_id: execId,
    ended: true,
  });
  const { stdout } = await mcp.call('sandbox_exec_get', { ...typed, wait_ms: 1_000 });
  assert.equal(stdout, 'one\ntwo\n');
  const wrong = await mcp.refusal('sandbox_exec_input', { id: 'x', exec_id: execId, more: 1 });
  const pointers = (wrong['errors'] as { pointer: string }[]).map(({ pointer }) => pointer);
  assert.deepEqual(
    [wrong['code'], pointers.includes('/id'), pointers.includes('/more')],
    ['invalid_request', true, true],
  );
});
