// Where callers are told to pay, on a real chain: nobody is sent to an address that no watcher looks at.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { openChain } from '@tallystick/engine/adapters/chain';
import { startTestChain } from '@tallystick/engine/adapters/chain/testing';
import { NOT_TAKEN, newTestEngine, overhearing } from '@tallystick/engine/testing';
import { RULES } from '@tallystick/planes';
import { ApiRefusal } from '@tallystick/surface';
import { askGift, type Desk, depositAddressFor, giveDevelopmentMoney } from './desk.ts';

const PRINCIPAL = `eip155:1:0x${'1'.repeat(40)}`;

test('an address that could not be assigned is not told; asked again it is, and stays the same', async () => {
  await using engine = await newTestEngine({ rules: RULES });
  await using given = await startTestChain();
  const chain = await openChain(given.config);
  let left = 1;
  const busy = overhearing(engine, async () => (left-- > 0 ? NOT_TAKEN : undefined));
  const desk = { engine: busy, link: { chain: async () => chain } } as unknown as Desk;
  await assert.rejects(depositAddressFor(desk, PRINCIPAL), (fault) => fault instanceof ApiRefusal);
  const told = [await depositAddressFor(desk, PRINCIPAL), await depositAddressFor(desk, PRINCIPAL)];
  assert.deepEqual(
    told.map(({ address }) => address),
    Array(2).fill(chain.depositAddress(PRINCIPAL).toLowerCase()),
  );
});

test('money that waits for blocks is told with its depth, and no client waits for them by itself', async () => {
  await using engine = await newTestEngine({ rules: RULES });
  await using given = await startTestChain();
  const chain = await openChain(given.config);
  const pendingAt = async (confirmations: number) => {
    const desk = { engine, link: { chain: async () => chain }, settings: { config: given.config, confirmations } };
    const gift = { principal: PRINCIPAL, micros: 5n, reference: 'once' };
    const fault = await giveDevelopmentMoney(desk as unknown as Desk, gift, 0).catch((found: unknown) => found);
    assert.ok(fault instanceof ApiRefusal && fault.code === 'DEPOSIT_PENDING', String(fault));
    return fault.facts;
  };
  const { tx, ...waiting } = await pendingAt(3);
  assert.match(String(tx), /^0x[0-9a-f]{64}$/);
  assert.deepEqual(waiting, { confirmations: 1, confirmations_needed: 3, retry_after_ms: 60_000 });
  const deep = await pendingAt(1);
  assert.deepEqual(deep, { tx, confirmations: 1, confirmations_needed: 1, retry_after_ms: 1_000 });
});

const WITHOUT_FAUCET: [code: number, message: string][] = [
  [-32_601, 'the method tally_fund does not exist/is not available'],
  [-32_600, 'Unsupported method: tally_fund'],
];
for (const [code, message] of WITHOUT_FAUCET)
  test(`a chain that says "${message}" gives no development money: refused, not asked again`, async () => {
    const server = createServer((_request, response) => response.end(JSON.stringify({ error: { code, message } })));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const rpcUrls = [`http://127.0.0.1:${(server.address() as AddressInfo).port}`];
    const gift = { to: `0x${'1'.repeat(40)}`, micros: 1n, reference: 'once' } as const;
    const asked = askGift({ settings: { config: { rpcUrls } } } as unknown as Desk, gift);
    await assert.rejects(asked, (fault) => fault instanceof ApiRefusal && fault.code === 'DEVELOPMENT_ONLY');
    server.close();
    server.closeAllConnections();
  });
