/**
 * A hostile guest, and hostile callers, by chance: TALLY_FUZZ_INPUTS of each, from TALLY_SEED.
 * Promise: whatever arrives, in whatever pieces, costs its sender the link or a typed refusal, and never more memory than
 * a frame; every call hears exactly one end.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createServer, request as httpRequest } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { CALLER_TICKET_TYPE, jcs, RUN_TICKET_TYPE, signEnvelope, signingKeyFromSeed } from '@tallystick/kernel';
import { type Dice, diceOf, fuzz, fuzzBudgetOf } from '@tallystick/kernel/fuzz';
import {
  creditBody,
  encodeFrame,
  FRAME_BYTES_MAX,
  type Frame,
  frameReader,
  Kind,
  WINDOW_BYTES,
} from '../guest/frame.ts';
import { temporaryFolder } from '../testing/rig.ts';
import { accessFor, CALLER_VERBS } from './access.ts';
import { Fault } from './fault.ts';
import { GuestLink } from './guest-link.ts';
import { admitTicket } from './lease.ts';
import * as read from './request.ts';

const KINDS = Object.values(Kind);
/** Guests that are tried with real sockets, per so many inputs. */
const FRAMES_PER_GUEST = 200;
const SILENCE_MS_MAX = 10_000;

function budgetOf(context: TestContext): { inputs: number; seed: number } {
  const budget = fuzzBudgetOf(process.env, Math.random());
  context.diagnostic(`${budget.inputs} inputs from seed ${budget.seed}`);
  return budget;
}

const FRAMES = [
  encodeFrame(Kind.hello, 0),
  encodeFrame(Kind.end, 1, { code: 0 }),
  encodeFrame(Kind.fault, 1, { code: 'x', message: 'y' }),
  Buffer.concat([encodeFrame(Kind.out, 1, Buffer.alloc(100)), encodeFrame(Kind.credit, 2, creditBody(9))]),
  Buffer.concat([encodeFrame(Kind.meta, 1, { size: 1 }), encodeFrame(Kind.err, 3, Buffer.from('text'))]),
];

/** All frames of a stream, or undefined when the reader refused it. */
function framesOf(chunks: Iterable<Uint8Array>): Frame[] | undefined {
  const take = frameReader();
  const frames: Frame[] = [];
  try {
    for (const chunk of chunks) frames.push(...take(Buffer.from(chunk)));
    return frames;
  } catch (thrown) {
    assert.ok(thrown instanceof RangeError, String(thrown));
    return undefined;
  }
}

const plain = (frames: Frame[] | undefined): string[] | undefined =>
  frames?.map(({ kind, call, body }) => `${kind} ${call} ${body.toString('base64')}`);

function* inPieces(bytes: Uint8Array, dice: Dice): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; ) {
    const size = 1 + dice(12);
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

test('fuzz: frames mean the same whole and in pieces, and are written again as they were read', async (context) => {
  const budget = budgetOf(context);
  const dice = diceOf(budget.seed + 1);
  await fuzz({
    ...budget,
    samples: FRAMES,
    cpuUsage: () => process.cpuUsage(),
    check(input) {
      const whole = framesOf([input]);
      assert.deepEqual(plain(framesOf(inPieces(input, dice))), plain(whole));
      if (!whole) return;
      const again = Buffer.concat(
        whole.map(({ kind, call, body }) => encodeFrame(kind as Kind, call, Buffer.from(body))),
      );
      assert.ok(again.equals(Buffer.from(input.subarray(0, again.length))));
      assert.ok(input.length - again.length < FRAME_BYTES_MAX + 9);
    },
  });
});

/** Frames of every kind in any order, for calls that are and that are not, with bodies that fit and that do not. */
function hostileFrame(dice: Dice): Buffer {
  const kind = KINDS[dice(KINDS.length)]! as Kind;
  const call = dice(6);
  switch (dice(5)) {
    case 0:
      return encodeFrame(kind, call, creditBody(dice(WINDOW_BYTES)));
    case 1:
      return encodeFrame(kind, call, Buffer.alloc(dice(2_000)));
    case 2:
      return encodeFrame(kind, call, { code: dice(300), message: 'x'.repeat(dice(1_000)) });
    case 3:
      return encodeFrame(kind, call, Buffer.from('{"a":'.repeat(dice(100))));
    default:
      return Buffer.from(Array.from({ length: dice(20) }, () => dice(256)));
  }
}

interface Heard {
  ends: number;
  bytes: number;
}

/** One guest that says `frames`; resolves when its link is gone. */
async function oneGuest(dice: Dice, frames: number): Promise<Heard[]> {
  const folder = temporaryFolder();
  const path = join(folder, 'guest.sock');
  const link = new GuestLink(path, 0);
  const guest: Socket = connect(path);
  guest.on('error', () => undefined).resume();
  await once(guest, 'connect');
  guest.write(encodeFrame(Kind.hello, 0));
  await link.ready;
  const heard: Heard[] = [];
  for (const verb of ['exec', 'get', 'put', 'list', 'dial'] as const) {
    const one: Heard = { ends: 0, bytes: 0 };
    heard.push(one);
    const over = (): void => void one.ends++;
    const call = link.open(
      verb,
      {},
      {
        onBytes: (_, bytes) => {
          one.bytes += bytes.length;
        },
        onEnd: over,
        onFault: over,
        onLost: over,
      },
    );
    call.write(Buffer.alloc(dice(2 * WINDOW_BYTES))).catch(() => undefined);
  }
  for (let count = 0; count < frames && !guest.destroyed; count++) guest.write(hostileFrame(dice));
  const { promise: gone, resolve, reject } = Promise.withResolvers<void>();
  const silence = setTimeout(() => reject(new Error('the link hangs')), SILENCE_MS_MAX);
  guest.once('close', () => resolve());
  if (guest.closed) resolve();
  guest.end();
  await gone;
  clearTimeout(silence);
  link.close();
  rmSync(folder, { recursive: true, force: true });
  return heard;
}

test('fuzz: a hostile guest ends each call once and sends no more than its credit', async (context) => {
  const { inputs, seed } = budgetOf(context);
  const dice = diceOf(seed);
  for (let done = 0; done < inputs; done += FRAMES_PER_GUEST) {
    for (const { ends, bytes } of await oneGuest(dice, FRAMES_PER_GUEST)) {
      assert.equal(ends, 1, `a call ended ${ends} times, seed ${seed}, after ${done} frames`);
      assert.ok(bytes <= WINDOW_BYTES + FRAME_BYTES_MAX);
    }
  }
});

test('fuzz: a guest that never stops talking is held by its credit, not by memory', { timeout: 60_000 }, async () => {
  const folder = temporaryFolder();
  const path = join(folder, 'guest.sock');
  const link = new GuestLink(path, 0);
  const guest = connect(path);
  guest.on('error', () => undefined);
  await once(guest, 'connect');
  guest.write(encodeFrame(Kind.hello, 0));
  await link.ready;
  const { promise: lost, resolve } = Promise.withResolvers<void>();
  let taken = 0;
  const take = (_: number, bytes: Buffer): void => {
    taken += bytes.length;
  };
  link.open('exec', {}, { onBytes: take, onEnd: () => undefined, onFault: () => undefined, onLost: resolve });
  const flood = encodeFrame(Kind.out, 1, Buffer.alloc(60_000));
  const timer = setInterval(() => {
    for (let count = 0; count < 20 && !guest.destroyed; count++) guest.write(flood);
  }, 1);
  await lost;
  clearInterval(timer);
  assert.ok(taken <= WINDOW_BYTES + FRAME_BYTES_MAX, `${taken} bytes were taken without credit`);
  guest.destroy();
  rmSync(folder, { recursive: true, force: true });
});

const CALLER = signingKeyFromSeed(Buffer.alloc(32, 5));
const LEASE = signingKeyFromSeed(Buffer.alloc(32, 6));
const WALL_MS = 1_700_000_000_000;
const RUN_TICKET = {
  sandbox: 's1',
  incarnation: 1,
  seq: 1,
  minutes: 1,
  starts_at_us: String(WALL_MS * 1_000),
  paid_until_us: String((WALL_MS + 60_000) * 1_000),
  duration_ms: 60_000,
  price_micros: '7',
  job: 'j1',
  receipt: 'r1',
  receipt_hash: 'ab'.repeat(32),
  final: false,
};

test('[I-33] fuzz: the authorization header lets nobody in but who was signed for', async (context) => {
  const audience = 'this machine';
  const ticket = {
    aud: audience,
    sandbox: 's1',
    incarnation: 1,
    verbs: ['exec'],
    exp_us: String((WALL_MS + 60_000) * 1_000),
    jti: '1',
  };
  const good = `Tally ${Buffer.from(JSON.stringify(signEnvelope(CALLER_TICKET_TYPE, ticket, CALLER))).toString('base64')}`;
  const access = accessFor(CALLER.publicKey, audience, () => WALL_MS);
  access.check(good, 'exec', 's1', 1);
  const budget = budgetOf(context);
  await fuzz({
    ...budget,
    samples: [Buffer.from(good)],
    cpuUsage: () => process.cpuUsage(),
    check(input, number) {
      const header = Buffer.from(input).toString('latin1');
      const verb = CALLER_VERBS[number % CALLER_VERBS.length]!;
      const sandbox = number % 3 === 0 ? 's2' : 's1';
      try {
        access.check(header, verb, sandbox, 1);
        assert.deepEqual([verb, sandbox], ['exec', 's1']);
      } catch (thrown) {
        assert.ok(thrown instanceof Fault, String(thrown));
      }
    },
  });
});

test('[I-04] fuzz: run tickets that were not sold for this life extend nothing', async (context) => {
  const good = signEnvelope(RUN_TICKET_TYPE, RUN_TICKET, LEASE);
  await fuzz({
    ...budgetOf(context),
    samples: [Buffer.from(JSON.stringify(good))],
    cpuUsage: () => process.cpuUsage(),
    check(input) {
      let envelope: typeof good;
      try {
        envelope = JSON.parse(Buffer.from(input).toString());
      } catch {
        return;
      }
      const held = { sandbox: 's1', incarnation: 1 };
      const clock = { wallMs: () => WALL_MS, monotonicMs: () => 5 };
      const admitted = admitTicket(envelope, LEASE.publicKey, held, undefined, clock);
      if (!('rejection' in admitted)) assert.equal(envelope.payload, good.payload);
    },
  });
});

const BODIES = [
  { exec_id: 'e1', argv: ['sh', '-c', 'true'], env: { A: 'b' }, stdin_base64: 'AAEC', timeout_ms: 5 },
  { incarnation: 1, reason: 'destroyed', at_us: null },
  { columns: 80, rows: 24 },
];

test('fuzz: bodies at the socket are read or refused in words', async (context) => {
  const folder = temporaryFolder();
  const server = createServer(async (request, response) => {
    try {
      const body = await read.readJson(request);
      read.checkMembers(body, {
        exec_id: read.isName,
        argv: read.isArgv,
        env: read.optional(read.isEnv),
        stdin_base64: read.optional(read.isBase64),
        timeout_ms: read.optional(read.isCount(1, 1_000)),
        tty: read.optional(read.isTerminalSize),
      });
      response.end(`accepted ${jcs(body)}`);
    } catch (thrown) {
      response.end(thrown instanceof Fault ? `refused ${thrown.code}` : `threw ${String(thrown)}`);
    }
  }).listen(join(folder, 'warden.sock'));
  await once(server, 'listening');
  const { inputs, seed } = budgetOf(context);
  const ask = (body: Uint8Array): Promise<string> => {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const sent = httpRequest({ socketPath: join(folder, 'warden.sock'), method: 'POST', path: '/' }, async (answer) => {
      let text = '';
      for await (const chunk of answer) text += chunk;
      resolve(text);
    });
    sent.on('error', reject).end(body);
    return promise;
  };
  await fuzz({
    inputs: Math.ceil(inputs / 10),
    seed,
    samples: BODIES.map((body) => Buffer.from(JSON.stringify(body))),
    cpuUsage: () => process.cpuUsage(),
    async check(input) {
      const told = await ask(input);
      assert.match(told, /^(accepted |refused (invalid|too_large)$)/);
      if (told.startsWith('accepted '))
        assert.deepEqual(JSON.parse(told.slice(9)), JSON.parse(Buffer.from(input).toString()));
    },
  });
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true, force: true });
});
