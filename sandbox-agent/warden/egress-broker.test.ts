// The broker alone, without a sandbox: what is held, what is bounded, and what changes while a name is looked up.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type EgressRule, readEgressRules } from '@tallystick/kernel/egress';
import { echoServer } from '../testing/outside.ts';
import { temporaryFolder, until } from '../testing/rig.ts';
import { EGRESS_CONNECTIONS_MAX, EgressBroker } from './egress-broker.ts';
import { EgressDecisions } from './egress-decisions.ts';
import type { EgressMachine } from './egress-dial.ts';
import { EgressFlow } from './egress-flow.ts';
import { EGRESS_DIALS_MAX, EgressPassages } from './egress-passages.ts';

const rulesOf = (...texts: string[]) => readEgressRules(texts) as EgressRule[];
const ANYWHERE = rulesOf('*.test:*', '127.0.0.1:*');

/** A broker on a socket of its own; `lookup` is the test's. */
function brokerFor(context: TestContext, changes: Partial<EgressMachine> = {}) {
  const machine: EgressMachine = {
    lookup: async () => ['127.0.0.1'],
    refusal: () => undefined,
    takePlace: () => () => {},
    ...changes,
  };
  const life = { mayPass: true };
  const decisions = new EgressDecisions(() => 0);
  const flow = new EgressFlow(() => life.mayPass);
  const passages = new EgressPassages(
    { machine, flow, decisions, mask: (text) => text.replace('s3cret', '***') },
    ANYWHERE,
  );
  const broker = new EgressBroker(machine, flow, passages);
  const folder = temporaryFolder();
  const path = join(folder, 'egress.sock');
  broker.listen(path, process.getuid?.() ?? 0);
  const open: Socket[] = [];
  context.after(() => {
    for (const socket of open) socket.destroy();
    passages.close('over');
    broker.close();
    flow.close();
    decisions.close();
    rmSync(folder, { recursive: true });
  });
  const ask = (bytes: string | Buffer): { socket: Socket; heard: () => Buffer } => {
    const socket = createConnection(path);
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk)).on('error', () => socket.destroy());
    socket.write(bytes);
    open.push(socket);
    return { socket, heard: () => Buffer.concat(chunks) };
  };
  const told = async () => (await decisions.read(0, 0)).decisions;
  return { ask, told, life, flow, passages };
}

const connectTo = (host: string, port: number): string => `CONNECT ${host}:${port} HTTP/1.1\r\nhost: x\r\n\r\n`;
/** Also of one that breaks. */
const closed = (socket: Socket): Promise<unknown> => new Promise((resolve) => socket.once('close', resolve));
const GRANTED = /^HTTP\/1.1 200 /;

test('what comes while it stands still waits, both ways, and nothing is looked up or dialled meanwhile', async (context) => {
  const echo = await echoServer(context);
  let lookups = 0;
  const lookup = async (): Promise<string[]> => {
    lookups += 1;
    return ['127.0.0.1'];
  };
  const { ask, life, flow } = brokerFor(context, { lookup });
  const one = ask(connectTo('a.test', echo.port));
  await until(() => GRANTED.test(one.heard().toString()));
  const head = one.heard().length;
  life.mayPass = false;
  const two = ask(connectTo('b.test', echo.port));
  one.socket.write('out');
  echo.sockets[0]!.write('in');
  await sleep(150);
  assert.deepEqual([echo.sockets.length, echo.sockets[0]!.bytesRead, one.heard().length, lookups], [1, 0, head, 1]);
  life.mayPass = true;
  flow.wake();
  await until(
    () => one.heard().toString('utf8', head).length === 'inout'.length && GRANTED.test(two.heard().toString()),
  );
  assert.equal(lookups, 2);
});

test('a policy that changes during a look-up holds for it', async (context) => {
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<string[]>();
  const lookup = (): Promise<string[]> => {
    asked.resolve();
    return answer.promise;
  };
  const { ask, told, passages } = brokerFor(context, { lookup });
  const one = ask(connectTo('a.test', 9));
  await asked.promise;
  passages.replace(rulesOf('b.test'));
  answer.resolve(['127.0.0.1']);
  await until(() => one.heard().includes('policy_changed'));
  assert.match(one.heard().toString(), /^HTTP\/1.1 403 /);
  assert.deepEqual(
    (await told()).map(({ outcome, reason }) => [outcome, reason]),
    [['denied', 'policy_changed']],
  );
});

test('connections, look-ups and places of the machine are bounded, and what is over makes room', async (context) => {
  let places = 1;
  const takePlace = () => {
    if (places === 0) return undefined;
    places -= 1;
    return () => {
      places += 1;
    };
  };
  const narrow = brokerFor(context, { takePlace });
  const first = narrow.ask('GET');
  await until(() => places === 0);
  await closed(narrow.ask('GET').socket);
  first.socket.destroy();
  await until(() => places === 1);
  const answer = Promise.withResolvers<string[]>();
  const { ask, told } = brokerFor(context, { lookup: () => answer.promise });
  const waiting = Array.from({ length: EGRESS_DIALS_MAX }, (_, index) => ask(connectTo(`n${index}.test`, 9)));
  const over = ask(connectTo('over.test', 9));
  await until(() => over.heard().includes('too_many_dials'));
  assert.match(over.heard().toString(), /^HTTP\/1.1 429 /);
  for (let more = waiting.length; more < EGRESS_CONNECTIONS_MAX; more += 1) ask('G');
  await closed(ask('G').socket);
  answer.resolve([]);
  await until(() => waiting.every((one) => one.heard().includes('502')));
  assert.equal((await told()).filter(({ reason }) => reason === 'not_found').length, EGRESS_DIALS_MAX);
});

test('SOCKS: by name and by address, in pieces, with what comes early; what it does not speak is told', async (context) => {
  const echo = await echoServer(context);
  const { ask } = brokerFor(context);
  const port = Buffer.alloc(2);
  port.writeUInt16BE(echo.port);
  const byName = Buffer.concat([Buffer.from([5, 1, 0, 3, 6]), Buffer.from('a.test'), port]);
  const one = ask(Buffer.from([5]));
  for (const byte of [1, 0, ...byName]) {
    one.socket.write(Buffer.from([byte]));
    await new Promise(setImmediate);
  }
  one.socket.write('hello');
  await until(() => one.heard().length === 2 + 10 + 5);
  assert.deepEqual([...one.heard().subarray(0, 4)], [5, 0, 5, 0]);
  const byAddress = Buffer.concat([Buffer.from([5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1]), port, Buffer.from('early')]);
  const two = ask(byAddress);
  await until(() => two.heard().toString('latin1', 12) === 'early');
  const REFUSED: [bytes: number[], reply: number][] = [
    [[5, 1, 0, 5, 2, 0, 1, 127, 0, 0, 1, 0, 80], 7],
    [[5, 1, 0, 5, 1, 0, 1, 8, 8, 8, 8, 0, 80], 2],
    [[5, 1, 0, 5, 1, 0, 3, 3, 0x61, 0x20, 0x62, 0, 80], 1],
  ];
  for (const [bytes, reply] of REFUSED) {
    const { socket, heard } = ask(Buffer.from(bytes));
    await once(socket, 'end');
    assert.equal(heard()[3], reply, bytes.join(' '));
  }
  const noMethod = ask(Buffer.from([5, 1, 2]));
  await until(() => noMethod.heard().equals(Buffer.from([5, 255])));
});

test('a name that is asked for does not carry a released secret into what is told', async (context) => {
  const { ask, told } = brokerFor(context);
  const one = ask(connectTo('s3cret.evil', 443));
  await until(() => one.heard().includes('no_rule'));
  assert.equal((await told())[0]?.host, '***.evil');
});
