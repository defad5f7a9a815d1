/** A chain that is away at the start: nobody gets one that is not what the settings say, and the program is told to end. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { SettingError } from '../../program/index.ts';
import { ChainFault } from './endpoints.ts';
import { ChainLink } from './link.ts';
import { type Answer, newAddress, startEndpoint, startTestChain, type TestChain } from './testing.ts';

const away: Answer = () => {
  throw new Error('not here');
};

let world: TestChain;
before(async () => {
  world = await startTestChain();
});
after(() => world[Symbol.asyncDispose]());

const isFault = (kind: string) => (fault: unknown) => fault instanceof ChainFault && fault.kind === kind;

test('at the start a chain that is another one stops the program with a sentence about the setting', async () => {
  const link = new ChainLink({ ...world.config, tokenVersion: '2' });
  await assert.rejects(link.check(), (fault) => {
    assert.ok(fault instanceof SettingError);
    assert.match(fault.message, /^the setting CHAIN_TOKEN_VERSION is 2; the token 0x[0-9a-f]{40} says "1"$/i);
    return true;
  });
});

test('a chain that is away does not stop it, and is opened once when it answers', async () => {
  await using endpoint = await startEndpoint(world.chain, away);
  const link = new ChainLink({ ...world.config, rpcUrls: [endpoint.url] });
  await link.check();
  await assert.rejects(link.chain(), isFault('unreachable'));
  endpoint.say();
  const [one, other] = await Promise.all([link.chain(), link.chain()]);
  assert.equal(one, other);
  assert.equal(await link.chain(), one);
  await link.open(AbortSignal.timeout(60_000));
});

test('a chain that was away and is another one is handed out to nobody, however often it is asked, and the program is told', async () => {
  await using endpoint = await startEndpoint(world.chain, away);
  const factory = newAddress();
  const link = new ChainLink({ ...world.config, rpcUrls: [endpoint.url], factory });
  await link.check();
  const opening = link.open(AbortSignal.timeout(60_000), 1); // nobody else asks
  endpoint.say();
  await opening;
  await assert.rejects(link.chain(), isFault('misconfigured'));
  const { message } = await link.refused;
  assert.match(message, new RegExp(`^the setting CHAIN_FACTORY is ${factory}; .* no contract stands there$`));
  endpoint.say(away); // what was refused stays refused: the program ends
  for (let asked = 0; asked < 3; asked++) await assert.rejects(link.chain(), isFault('misconfigured'));
  await assert.rejects(link.check(), SettingError);
});

test('a chain that is not accepted is asked again, unless it is another one than the ledger has', async () => {
  const said: Error[] = [new ChainFault('misconfigured', 'another one'), new Error('the database is away')];
  const link = new ChainLink(world.config, async () => {
    const fault = said.pop();
    if (fault) throw fault;
  });
  await link.check();
  await assert.rejects(link.chain(), isFault('misconfigured'));
  await assert.rejects(link.chain(), isFault('misconfigured'));
  assert.equal((await link.refused).message, 'another one');
});
