/** What is no message, and what no server has, as a client meets it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { openTerminal } from '../testing/terminal.ts';
import { screen } from './screen.ts';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));
type Answer = {
  id: unknown;
  result?: object;
  error?: { code: number; message: string; data?: Record<string, unknown> };
};

/** What goes on, and what is told, for these chunks. */
async function screened(chunks: Buffer[]): Promise<{ passed: string; told: Answer[] }> {
  const told: Answer[] = [];
  const stream = screen((line) => void told.push(JSON.parse(line)));
  const passing = Array.fromAsync(stream, (chunk: Buffer) => chunk);
  for (const chunk of chunks) stream.write(chunk);
  stream.end();
  return { passed: Buffer.concat(await passing).toString(), told };
}

const ROWS: [line: string, code: number, id: unknown][] = [
  ['garbage', -32_700, null],
  ['{"jsonrpc":"2.0",', -32_700, null],
  ['[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32_600, null],
  ['7', -32_600, null],
  ['null', -32_600, null],
  ['{"a":1}', -32_600, null],
  ['{"jsonrpc":"1.0","id":5,"method":"ping"}', -32_600, 5],
  ['{"jsonrpc":"2.0","id":6}', -32_600, 6],
  ['{"jsonrpc":"2.0","id":{},"method":"ping"}', -32_600, null],
  ['{"jsonrpc":"2.0","method":7}', -32_600, null],
];

test('a line that is no message is answered as the protocol says, and what follows goes on', async () => {
  const good = '{"jsonrpc":"2.0","id":1,"method":"ping"}\n';
  for (const [line, code, id] of ROWS) {
    const { passed, told } = await screened([Buffer.from(`${line}\n\n${good}`)]);
    assert.equal(passed.trim(), good.trim(), line);
    assert.deepEqual(
      told.map((answer) => [answer.error?.code, answer.id]),
      [[code, id]],
      line,
    );
    assert.equal(told[0]?.error?.data?.['code'], 'invalid_request');
  }
});

test('messages go on byte by byte, however they are cut', async () => {
  const message = fc.record({
    jsonrpc: fc.constant('2.0'),
    id: fc.integer(),
    method: fc.string(),
    params: fc.object(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(message, { maxLength: 5 }), fc.integer({ min: 1, max: 20 }), async (messages, step) => {
      const text = Buffer.from(messages.map((one) => `${JSON.stringify(one)}\n`).join(''));
      const chunks = [];
      for (let at = 0; at < text.length; at += step) chunks.push(text.subarray(at, at + step));
      const { passed, told } = await screened(chunks);
      assert.deepEqual([passed, told], [text.toString(), []]);
    }),
    { numRuns: 50 },
  );
});

test('garbage, an unknown method and an unknown tool are answered, and the server goes on', async () => {
  await using terminal = await openTerminal();
  const server = spawn(process.execPath, [MAIN, 'mcp'], { env: terminal.env, stdio: ['pipe', 'pipe', 'inherit'] });
  const exit = once(server, 'exit');
  const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
  const ask = async (message: object | string): Promise<Answer> => {
    server.stdin.write(`${typeof message === 'string' ? message : JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
    return JSON.parse(String((await lines.next()).value)) as Answer;
  };
  const params = { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'raw', version: '1' } };
  assert.ok((await ask({ id: 1, method: 'initialize', params })).result);
  assert.equal((await ask('garbage')).error?.code, -32_700);
  const method = await ask({ id: 2, method: 'no/such' });
  assert.deepEqual([method.error?.code, method.error?.data?.['code']], [-32_601, 'not_found']);
  const tool = await ask({ id: 3, method: 'tools/call', params: { name: 'nope', arguments: {} } });
  assert.deepEqual([tool.error?.code, tool.error?.data?.['code']], [-32_602, 'not_found']);
  assert.match(String(tool.error?.data?.['suggestion']), /tools\/list/);
  assert.deepEqual((await ask({ id: 4, method: 'ping' })).result, {});
  server.stdin.end();
  assert.deepEqual(await exit, [0, null]);
});
