// Streams to ports: their limits, and what a hostile guest or caller can do to them.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { Duplex, PassThrough } from 'node:stream';
import { test } from 'node:test';
import { setImmediate as yieldOnce } from 'node:timers/promises';
import { Fault } from './fault.ts';
import type { Call, CallEvents, GuestLink } from './guest-link.ts';
import { carryPort, PORT_STREAMS_MAX, portOf } from './ports.ts';

/** A guest whose frames a test sends by hand. */
function handGuest() {
  const events: CallEvents[] = [];
  const told: string[] = [];
  const call: Call = {
    write: async (bytes) => told.push(`write ${bytes}`) > 0,
    end: () => told.push('end'),
    signal: () => {},
    resize: () => {},
    credit: (bytes) => told.push(`credit ${bytes}`),
    cancel: () => told.push('cancel'),
  };
  const link = {
    open: (_: string, __: object, given: CallEvents) => events.push(given) && call,
  } as unknown as GuestLink;
  return { link, events, told };
}

function caller(upgrade = 'tally-port') {
  const [toCaller, toGuest] = [new PassThrough(), new PassThrough()];
  const socket = Duplex.from({ readable: toGuest, writable: toCaller });
  const request = { headers: { upgrade } } as unknown as IncomingMessage;
  return { upgraded: { request, socket, head: Buffer.from('early') }, toCaller, toGuest };
}

const isFault = (code: string) => (fault: unknown) => fault instanceof Fault && fault.code === code;

test('a greeting in the same breath as the connection is not lost, nor is what the caller sent early', async () => {
  const { link, events, told } = handGuest();
  const { upgraded, toCaller, toGuest } = caller();
  let stirred = 0;
  const carried = carryPort(link, 80, upgraded, () => (stirred += 1));
  events[0]?.onMeta?.({ connected: true });
  events[0]?.onBytes?.(1, Buffer.from('220 hello'));
  await carried;
  toGuest.end();
  await once(upgraded.socket, 'end');
  await yieldOnce();
  assert.match(String(toCaller.read()), /^HTTP\/1.1 101 [\s\S]*\r\n\r\n220 hello$/);
  assert.deepEqual([...told].sort(), ['credit 9', 'end', 'write early']);
  assert.equal(stirred, 2);
  upgraded.socket.destroy();
});

test('one sandbox has a bounded number of streams, and one that is over makes room', async () => {
  const { link, events } = handGuest();
  const opened = Array.from({ length: PORT_STREAMS_MAX }, () => carryPort(link, 80, caller().upgraded, () => {}));
  const refused = () => carryPort(link, 80, caller().upgraded, () => {});
  assert.throws(refused, isFault('too_many_port_streams'));
  events[0]?.onFault('ECONNREFUSED', '');
  await assert.rejects(opened[0]!, isFault('port_closed'));
  const another = refused();
  for (const one of events.slice(1)) one.onLost();
  const rest = await Promise.allSettled([...opened.slice(1), another]);
  assert.ok(rest.every((one) => one.status === 'rejected' && isFault('sandbox_lost')(one.reason)));
});

test('what is no port, or asks for another protocol, is refused before the guest hears of it', () => {
  for (const text of ['0', '65536', '080', '-1', '1e3', '', '99999999'])
    assert.throws(() => portOf(text), isFault('invalid'), text);
  const { link, events } = handGuest();
  assert.throws(() => carryPort(link, 80, caller('websocket').upgraded, () => {}), isFault('invalid'));
  assert.equal(events.length, 0);
});
