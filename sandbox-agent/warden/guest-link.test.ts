/** A hostile guest: whatever bytes it sends, it loses at most its own link. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rmSync, statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { creditBody, encodeFrame, FRAME_BYTES_MAX, frameReader, Kind, WINDOW_BYTES } from '../guest/frame.ts';
import { temporaryFolder } from '../testing/rig.ts';
import { CALLS_MAX, type CallEvents, GuestLink } from './guest-link.ts';

interface Pair {
  link: GuestLink;
  guest: Socket;
  close(): Promise<void>;
}

async function linked(): Promise<Pair> {
  const folder = temporaryFolder();
  const path = join(folder, 'guest.sock');
  const link = new GuestLink(path, 0);
  await new Promise((resolve) => setImmediate(resolve));
  const guest = connect(path);
  guest.on('error', () => {});
  await once(guest, 'connect');
  guest.write(encodeFrame(Kind.hello, 0));
  await link.ready;
  const close = async (): Promise<void> => {
    link.close();
    guest.destroy();
    rmSync(folder, { recursive: true, force: true });
  };
  return { link, guest, close };
}

function recorded(): { events: CallEvents; over: Promise<string> } {
  const { promise, resolve } = Promise.withResolvers<string>();
  const events: CallEvents = {
    onEnd: () => resolve('end'),
    onFault: (code) => resolve(`fault ${code}`),
    onLost: () => resolve('lost'),
  };
  return { events, over: promise };
}

const HOSTILE: [what: string, bytes: Buffer[]][] = [
  ['an oversized frame', [Buffer.from([0xff, 0xff, 0xff, 0xff, Kind.out, 0, 0, 0, 1])]],
  ['a control frame that is no JSON', [encodeFrame(Kind.end, 1, Buffer.from('{'))]],
  ['a control frame that is no object', [encodeFrame(Kind.end, 1, Buffer.from('7'))]],
  ['a control frame that is too long', [encodeFrame(Kind.end, 1, Buffer.alloc(20_000, ' '))]],
  ['an unknown kind', [encodeFrame(99 as Kind, 1, {})]],
  ['more bytes than credit', Array.from({ length: 6 }, () => encodeFrame(Kind.out, 1, Buffer.alloc(FRAME_BYTES_MAX)))],
  ['more credit than bytes', [encodeFrame(Kind.credit, 1, creditBody(WINDOW_BYTES + 1))]],
  ['credit without a number', [encodeFrame(Kind.credit, 1, Buffer.alloc(1))]],
  ['a flood of frames for nobody', [Buffer.concat(Array.from({ length: 10_001 }, () => encodeFrame(Kind.out, 9)))]],
];

for (const [what, frames] of HOSTILE) {
  test(`a guest that sends ${what} loses its link`, async () => {
    const pair = await linked();
    const call = recorded();
    pair.link.open('exec', { argv: ['x'] }, call.events);
    for (const bytes of frames) pair.guest.write(bytes);
    assert.equal(await call.over, 'lost');
    assert.throws(() => pair.link.open('get', {}, call.events), /gone/);
    await pair.close();
  });
}

test('law: random bytes never throw out of the link', async () => {
  const kinds = Object.values(Kind);
  const frame = fc
    .tuple(fc.constantFrom(...kinds), fc.nat(3), fc.oneof(fc.uint8Array({ maxLength: 64 }), fc.json()))
    .map(([kind, call, body]) => encodeFrame(kind, call, Buffer.from(body as string)));
  const noise = fc.array(fc.oneof(frame, fc.uint8Array({ maxLength: 40 }).map(Buffer.from)), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(noise, async (writes) => {
      const pair = await linked();
      const call = recorded();
      pair.link.open('exec', { argv: ['x'] }, call.events);
      pair.guest.end(Buffer.concat(writes));
      assert.match(await call.over, /^(end|lost|fault .*)$/);
      await pair.close();
    }),
    { numRuns: 60 },
  );
});

test('a second caller at the socket is turned away, calls are bounded, and a request over one frame is refused', async () => {
  const pair = await linked();
  const { events } = recorded();
  assert.throws(() => pair.link.open('exec', { argv: ['x'.repeat(FRAME_BYTES_MAX)] }, events), RangeError);
  for (let call = 0; call < CALLS_MAX; call += 1) pair.link.open('get', { path: 'x' }, events);
  assert.throws(() => pair.link.open('get', { path: 'x' }, events), /at most 256 calls/);
  await pair.close();
});

test('bytes into a guest that gives no credit stop at the window', async () => {
  const pair = await linked();
  const { events } = recorded();
  let dataBytes = 0;
  const read = frameReader();
  pair.guest.on('data', (chunk) => {
    for (const { kind, body } of read(chunk)) if (kind === Kind.data) dataBytes += body.length;
  });
  const call = pair.link.open('put', { path: 'x' }, events);
  const writing = call.write(Buffer.alloc(4 * WINDOW_BYTES));
  while (dataBytes < WINDOW_BYTES) await once(pair.guest, 'data');
  assert.equal(dataBytes, WINDOW_BYTES);
  call.cancel();
  assert.equal(await writing, false);
  await pair.close();
});

test('the socket belongs to the guest as soon as the link stands, so that no guest dials too soon', () => {
  const folder = temporaryFolder();
  const path = join(folder, 'guest.sock');
  const link = new GuestLink(path, 3_000_001);
  const { uid, mode } = statSync(path);
  assert.deepEqual([uid, mode & 0o777], [3_000_001, 0o600]);
  link.close();
  rmSync(folder, { recursive: true, force: true });
});
