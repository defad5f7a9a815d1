/** Watches against a guest that lies: whatever it says, no name leads out, memory stays bounded, and readers are told. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { encodeFrame, FRAME_BYTES_MAX, type Frame, frameReader, Kind } from '../guest/frame.ts';
import { temporaryFolder } from '../testing/rig.ts';
import { GuestLink } from './guest-link.ts';
import { openWatch, WATCH_CHARS_KEPT_MAX, WATCH_EVENTS_KEPT_MAX, watchOf } from './watches.ts';

interface Lying {
  link: GuestLink;
  guest: Socket;
  say(...lines: unknown[]): void;
  /** Bytes of credit that the warden has given. */
  credited(): number;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A watch whose guest is this test. */
async function watching(): Promise<Lying> {
  const folder = temporaryFolder();
  const link = new GuestLink(join(folder, 'guest.sock'), 0);
  const guest = connect(join(folder, 'guest.sock'));
  guest.on('error', () => {});
  await once(guest, 'connect');
  guest.write(encodeFrame(Kind.hello, 0));
  await link.ready;
  const read = frameReader();
  const frames: Frame[] = [];
  let creditBytes = 0;
  guest.on('data', (chunk) => {
    for (const frame of read(chunk)) {
      frames.push(frame);
      if (frame.kind === Kind.credit) creditBytes += frame.body.readUInt32BE(0);
      if (frame.kind === Kind.watch) guest.write(encodeFrame(Kind.meta, frame.call, { directories: 1 }));
    }
  });
  await openWatch(link, { watch_id: 'w', path: 'dir', recursive: true }, () => 0);
  return {
    link,
    guest,
    say: (...lines) => {
      const text = lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join('');
      for (let at = 0; at < text.length; at += FRAME_BYTES_MAX)
        guest.write(encodeFrame(Kind.out, 1, Buffer.from(text.slice(at, at + FRAME_BYTES_MAX))));
    },
    credited: () => creditBytes,
    async [Symbol.asyncDispose]() {
      link.close();
      guest.destroy();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const LIES: [what: string, line: unknown][] = [
  ['a path that climbs', { kind: 'created', path: '../../etc/passwd' }],
  ['an absolute path', { kind: 'created', path: '/etc/passwd' }],
  ['an empty path', { kind: 'deleted', path: '' }],
  ['a path with a step of nothing', { kind: 'created', path: 'a//b' }],
  ['a path with NUL', { kind: 'created', path: 'a\0b' }],
  ['a path that is no text', { kind: 'created', path: 7 }],
  ['a path that is too long', { kind: 'created', path: 'x'.repeat(5_000) }],
  ['a move from outside', { kind: 'moved', path: 'a', from: '../b' }],
  ['a kind of its own', { kind: 'ended', path: 'a' }],
  ['no JSON', '{'],
  ['null', 'null'],
];

for (const [what, line] of LIES) {
  test(`a guest that says ${what} ends its watch, and nothing of it is told`, async () => {
    await using lying = await watching();
    lying.say({ kind: 'created', path: 'honest' }, line, { kind: 'created', path: 'after' });
    const first = await watchOf(lying.link, 'w').read(0, 2_000);
    const { events } = first.is_over ? first : await watchOf(lying.link, 'w').read(0, 2_000);
    assert.deepEqual(
      events.map(({ kind, path, reason }) => [kind, path, reason]),
      [
        ['created', 'dir/honest', null],
        ['ended', 'dir', 'guest_fault'],
      ],
    );
  });
}

test('a line without an end ends the watch', async () => {
  await using lying = await watching();
  lying.guest.write(encodeFrame(Kind.out, 1, Buffer.alloc(64 * 1024, 'x')));
  assert.equal((await watchOf(lying.link, 'w').read(0, 2_000)).events[0]?.reason, 'guest_fault');
});

test('odd members are left out, and the order is kept across frames that cut a character', async () => {
  await using lying = await watching();
  const bytes = Buffer.from(`${JSON.stringify({ kind: 'created', path: 'ä', type: 'x', reason: 'y', evil: 1 })}\n`);
  const cut = bytes.indexOf(0xa4);
  for (const part of [bytes.subarray(0, cut), bytes.subarray(cut)]) lying.guest.write(encodeFrame(Kind.out, 1, part));
  const { events } = await watchOf(lying.link, 'w').read(0, 2_000);
  const told = { cursor: 1, at_us: 0, kind: 'created', path: 'dir/ä', from: null, type: null, reason: null };
  assert.deepEqual(events, [told]);
});

test('a flood is bounded: in what is kept, and in how fast more may come', async () => {
  await using lying = await watching();
  const startedAtMs = performance.now();
  lying.say(...Array.from({ length: 300 }, (_, index) => ({ kind: 'created', path: `${index}${'x'.repeat(3_000)}` })));
  const watch = watchOf(lying.link, 'w');
  while ((await watch.read(299, 1_000)).next_after < 300);
  const { events, first_cursor } = await watch.read(0, 0);
  assert.deepEqual([events[0]?.kind, events[0]?.reason, events[0]?.cursor], ['missed', 'behind', first_cursor - 1]);
  const chars = events.reduce((sum, { path }) => sum + path.length, 0);
  assert.ok(chars <= WATCH_CHARS_KEPT_MAX && events.length <= WATCH_EVENTS_KEPT_MAX);
  const elapsedMs = performance.now() - startedAtMs;
  assert.ok(lying.credited() <= (elapsedMs / 1_000 + 0.2) * 256 * 1024, `${lying.credited()} bytes in ${elapsedMs} ms`);
});

test('a guest that refuses is told in a word, one that is lost ends the watch', async () => {
  await using lying = await watching();
  lying.guest.destroy();
  const { events, is_over } = await watchOf(lying.link, 'w').read(0, 2_000);
  assert.deepEqual([events[0]?.reason, is_over], ['sandbox_ended', true]);
  assert.throws(() => watchOf(lying.link, 'other'), /no such watch/);
});
