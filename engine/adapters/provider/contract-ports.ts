/**
 * What every provider must do with streams to ports, as part of the suite over the port.
 * Promise: bytes come back as they went, half-closing and cutting work, and refusals are told apart.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import type { ContractRig } from './contract.ts';
import { ProviderFault } from './port.ts';

const PORT = 8_080;
/** Says back what it hears, and says that it listens. */
const ECHO = `import { createServer } from 'node:net';
createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => {}).pipe(socket))
  .listen(Number(process.argv[2]), '127.0.0.1', () => console.log('listens'));`;
const LISTEN_MS_MAX = 10_000;

const isFault =
  (code: string, kind = 'refused') =>
  (fault: unknown) => {
    assert.ok(fault instanceof ProviderFault, String(fault));
    assert.deepEqual([fault.kind, fault.code], [kind, code]);
    return true;
  };

async function listening({ provider }: ContractRig, sandbox: string, execId: string): Promise<void> {
  await provider.putFile(sandbox, 'listen.mjs', Buffer.from(ECHO));
  await provider.startExec(sandbox, { exec_id: execId, argv: ['node', 'listen.mjs', String(PORT)] });
  await provider.output(sandbox, execId, { waitMs: LISTEN_MS_MAX });
}

/** Call inside a `describe`; `fresh` starts a sandbox of its own. */
export function portContract(rigged: () => ContractRig, fresh: (rig: ContractRig) => Promise<string>): void {
  test('a stream to a port carries bytes both ways, and each side closes its half', async () => {
    const rig = rigged();
    const sandbox = await fresh(rig);
    await assert.rejects(rig.provider.openPort(sandbox, PORT), isFault('port_closed'));
    await listening(rig, sandbox, 'echo');
    const stream = await rig.provider.openPort(sandbox, PORT);
    const sent = Buffer.alloc(3_000_000, 'abcdefghijklm');
    const chunks: Buffer[] = [];
    stream.on('data', (bytes) => chunks.push(bytes));
    stream.end(sent);
    await once(stream, 'end');
    assert.ok(Buffer.concat(chunks).equals(sent));
    assert.equal((await rig.provider.get(sandbox)).last_activity, 'port');
    await rig.provider.finish(sandbox, { incarnation: 1, reason: 'stopped_by_owner', at_us: null });
  });

  test('a stream is cut when its sandbox ends, and none opens to one that has ended', async () => {
    const rig = rigged();
    const sandbox = await fresh(rig);
    await listening(rig, sandbox, 'echo');
    const stream = await rig.provider.openPort(sandbox, PORT);
    stream.resume();
    const closed = once(stream, 'close');
    await rig.provider.finish(sandbox, { incarnation: 1, reason: 'stopped_by_owner', at_us: null });
    stream.end();
    await closed;
    await assert.rejects(rig.provider.openPort(sandbox, PORT), isFault('sandbox_ended', 'gone'));
  });
}
