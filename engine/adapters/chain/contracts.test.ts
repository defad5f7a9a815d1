/** A chain whose contracts are not what the settings say is not opened: the setting is named, what it must be and what is there. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Address, encodeAbiParameters, type Hex, keccak256, toFunctionSelector } from 'viem';
import { artifactOf } from './artifacts.ts';
import { openChain } from './chain.ts';
import { ChainFault } from './endpoints.ts';
import { newAddress, startEndpoint, startTestChain, type TestChain } from './testing.ts';

const FACTORY_CODE = artifactOf('ForwarderFactory').deployed;
const TOKEN_DECIMALS = 6;

let world: TestChain;
before(async () => {
  world = await startTestChain();
});
after(() => world[Symbol.asyncDispose]());

const misconfigured = (words: string) => (fault: unknown) => {
  assert.ok(fault instanceof ChainFault, String(fault));
  assert.deepEqual([fault.kind, fault.message], ['misconfigured', words]);
  return true;
};

/** An address where this code stands. */
async function placed(code: Hex): Promise<Address> {
  const at = newAddress();
  await world.chain.evm.request({ method: 'hardhat_setCode', params: [at, code] });
  return at;
}

const mustBe = `it must be the ForwarderFactory of engine/adapters/chain/contracts/Forwarder.sol (code hash ${keccak256(FACTORY_CODE)})`;

test('a factory that nobody has made yet is refused: what arrives at its addresses could never be swept', async () => {
  const factory = newAddress();
  const says = `the setting CHAIN_FACTORY is ${factory}; ${mustBe}, and no contract stands there`;
  await assert.rejects(openChain({ ...world.config, factory }), misconfigured(says));
});

const OTHERS: [what: string, code: () => Hex][] = [
  ['another contract', () => artifactOf('DevelopmentUsd').deployed],
  ['a factory of one other byte', () => `${FACTORY_CODE.slice(0, -2)}0b` as Hex],
  ['a factory with more behind it', () => `${FACTORY_CODE}00`],
  ['a part of the factory', () => FACTORY_CODE.slice(0, -2) as Hex],
];
for (const [what, code] of OTHERS)
  test(`${what} in the factory's place is refused`, async () => {
    const factory = await placed(code());
    const says = `the setting CHAIN_FACTORY is ${factory}; ${mustBe}, and the code there has the hash ${keccak256(code())}`;
    await assert.rejects(openChain({ ...world.config, factory }), misconfigured(says));
  });

test('the same factory at another address is as good', async () => {
  const factory = await placed(FACTORY_CODE);
  assert.equal((await openChain({ ...world.config, factory })).config.factory, factory);
});

const text = (word: string): Hex => encodeAbiParameters([{ type: 'string' }], [word]);
const number = (value: bigint): Hex => encodeAbiParameters([{ type: 'uint256' }], [value]);

const WORDS: [what: string, word: string, answer: Hex, says: (token: string) => string][] = [
  ['name', 'name()', text('USDC'), (t) => `the setting CHAIN_TOKEN_NAME is USD Coin; the token ${t} says "USDC"`],
  ['version', 'version()', text('2'), (t) => `the setting CHAIN_TOKEN_VERSION is 1; the token ${t} says "2"`],
  [
    'decimals',
    'decimals()',
    number(18n),
    (t) => `the setting CHAIN_TOKEN is ${t}; its decimals must be ${TOKEN_DECIMALS}, and it says 18`,
  ],
  ['no version', 'version()', '0x', (t) => `the setting CHAIN_TOKEN_VERSION is 1; the token ${t} says nothing`],
  [
    'a name that is no text',
    'name()',
    number(1n),
    (t) => `the setting CHAIN_TOKEN_NAME is USD Coin; the token ${t} says nothing`,
  ],
  [
    'a version of several lines',
    'version()',
    text('1\n2'),
    (t) => `the setting CHAIN_TOKEN_VERSION is 1; the token ${t} says "1\\n2"`,
  ],
];
for (const [what, signature, answer, says] of WORDS)
  test(`a token with another word is refused: ${what}`, async () => {
    const selector = toFunctionSelector(signature);
    await using endpoint = await startEndpoint(world.chain, ({ method, params: [call] }, honest) =>
      method === 'eth_call' && (call as { data?: string }).data === selector ? answer : honest(),
    );
    const config = { ...world.config, rpcUrls: [endpoint.url] };
    await assert.rejects(openChain(config), misconfigured(says(world.config.token)));
  });

test('an address without a contract, and a contract that is no token, are refused', async () => {
  const token = newAddress();
  const says = `the setting CHAIN_TOKEN is ${token}; it must be a token, and no contract stands there`;
  await assert.rejects(openChain({ ...world.config, token }), misconfigured(says));
  const { factory } = world.config;
  const saysNothing = `the setting CHAIN_TOKEN_NAME is USD Coin; the token ${factory} says nothing`;
  await assert.rejects(openChain({ ...world.config, token: factory }), misconfigured(saysNothing));
});

test('an endpoint that has no time for a question has said nothing about the token', async () => {
  await using endpoint = await startEndpoint(world.chain, ({ method }, honest) => {
    if (method === 'eth_call') throw new Error('too many requests');
    return honest();
  });
  await assert.rejects(
    openChain({ ...world.config, rpcUrls: [endpoint.url] }),
    (fault) => fault instanceof ChainFault && fault.kind === 'unreachable',
  );
});

test('one endpoint of two that says otherwise of a contract is not believed: asked again later, nothing ends', async () => {
  for (const lie of ['eth_getCode', 'eth_call']) {
    await using endpoint = await startEndpoint(world.chain, ({ method }, honest) => (method === lie ? '0x' : honest()));
    for (const rpcUrls of [
      [endpoint.url, world.url],
      [world.url, endpoint.url],
    ])
      await assert.rejects(
        openChain({ ...world.config, rpcUrls }),
        (fault) => fault instanceof ChainFault && fault.kind === 'disagreement',
      );
  }
});
