import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { choosePorts, isFree, rememberedPorts, rememberPorts } from './remembered-ports.ts';

const HOST = '127.0.0.1';

async function inFolder(act: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'tally-ports-'));
  try {
    await act(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A port that is taken until the returned function is called. */
async function takePort(): Promise<{ port: number; free(): Promise<void> }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
  const { port } = server.address() as AddressInfo;
  return { port, free: () => new Promise((resolve) => server.close(() => resolve())) };
}

test('the ports of last time are taken again when they are free', () =>
  inFolder(async (folder) => {
    const [api, sandboxes] = [await takePort(), await takePort()];
    await Promise.all([api.free(), sandboxes.free()]);
    rememberPorts(folder, { api: api.port, sandboxes: sandboxes.port });
    const taken: number[] = [];
    const chosen = await choosePorts(folder, { host: HOST, asked: undefined, onTaken: (port) => taken.push(port) });
    assert.deepEqual([chosen, taken], [{ api: api.port, sandboxes: sandboxes.port }, []]);
  }));

test('a port that somebody else has is told, and any free one is taken', () =>
  inFolder(async (folder) => {
    const other = await takePort();
    try {
      rememberPorts(folder, { api: other.port, sandboxes: other.port });
      const taken: number[] = [];
      const chosen = await choosePorts(folder, { host: HOST, asked: undefined, onTaken: (port) => taken.push(port) });
      assert.deepEqual([chosen, taken], [{ api: 0, sandboxes: 0 }, [other.port, other.port]]);
      assert.equal(await isFree(HOST, other.port), false);
    } finally {
      await other.free();
    }
  }));

test('a port that was asked for is not replaced by another', () =>
  inFolder(async (folder) => {
    const other = await takePort();
    try {
      const onTaken = () => assert.fail('nobody asked');
      assert.equal((await choosePorts(folder, { host: HOST, asked: other.port, onTaken })).api, other.port);
      assert.equal((await choosePorts(folder, { host: HOST, asked: 0, onTaken })).api, 0);
    } finally {
      await other.free();
    }
  }));

test('a file that holds no ports is as good as none', () =>
  inFolder(async (folder) => {
    for (const text of ['', 'null', '[]', '{"api":"8080"}', '{"api":0,"sandboxes":65536}', '{"api":1.5}']) {
      writeFileSync(join(folder, 'ports.json'), text);
      assert.deepEqual(rememberedPorts(folder), {}, text);
    }
  }));
