/** What endpoints' faults tell: that they do not answer, and never the address with the key in it. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { agreed, ChainFault, clientsOf } from './endpoints.ts';
import { senderOf } from './sender.ts';

const KEY = 'k3yInThePath';
const ADDRESS = `0x${'1'.repeat(40)}` as const;

test('a fault names neither an endpoint nor the key in its address, however it came about', async () => {
  const server = createServer((request, response) => {
    if (request.url!.endsWith('gone')) return void response.destroy();
    const error = { code: -32_000, message: `no ${request.url}` };
    response.statusCode = request.url!.endsWith('refusing') ? 401 : 200;
    response.end(JSON.stringify({ jsonrpc: '2.0', id: 1, error }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const at = (end: string) => `http://127.0.0.1:${(server.address() as AddressInfo).port}/${KEY}/${end}`;
  for (const url of [at('gone'), at('refusing'), at('answering'), `http://${KEY}:1:2`]) {
    const clients = clientsOf([url]);
    const sender = senderOf(clients, { token: ADDRESS, factory: ADDRESS, treasury: ADDRESS });
    const call = { kind: 'sweep', salts: [] } as const;
    const ask = () => agreed(clients, 'balance', (client) => client.getBalance({ address: ADDRESS }));
    for (const attempt of [ask, () => sender.gasOf(call, ADDRESS)]) {
      const fault: unknown = await attempt().then(
        () => assert.fail(),
        (one: unknown) => one,
      );
      assert.ok(fault instanceof ChainFault && fault.kind === 'unreachable', inspect(fault));
      assert.ok(!inspect(fault, { depth: 9 }).includes(KEY), inspect(fault));
    }
    assert.ok(!(await sender.send('0x02'))!.includes(KEY));
  }
  server.close();
  server.closeAllConnections();
});
