/**
 * Every public parser of the kernel under damaged and random inputs: TALLY_FUZZ_INPUTS of them, from TALLY_SEED.
 * Promise: nothing but its typed error, no hang, and what is accepted is spelled again byte for byte.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { isCanonical, JSON_DEPTH_MAX, jcs, parseStrict } from './canonical.ts';
import { logKeyFromSeed, logVerifierOf, openCheckpoint, parseLogVerifier, signCheckpoint } from './checkpoint.ts';
import { type Envelope, openEnvelope, signEnvelope } from './dsse.ts';
import { type Fuzz, fuzz, fuzzBudgetOf } from './fuzz.ts';
import type { Json, JsonObject } from './json.ts';
import { receiptIdOf, receiptPlace } from './receipt-id.ts';
import { timeMsOf } from './rfc3339.ts';
import { signingKeyFromSeed } from './signatures.ts';
import { formatSiwe, parseSiwe } from './siwe.ts';
import { parseSlowly } from './strict-json.ts';
import { CALLER_TICKET_TYPE, RUN_TICKET_TYPE, readCallerTicket, readRunTicket } from './ticket.ts';

const KEY = signingKeyFromSeed(Buffer.alloc(32, 7));
const LOG = logKeyFromSeed('tally.example/log', Buffer.alloc(32, 8));
const VECTORS = new URL('../proto/vectors/', import.meta.url);

const RUN_TICKET: JsonObject = {
  sandbox: 'sbx_1',
  incarnation: 1,
  seq: 3,
  minutes: 3,
  starts_at_us: '1700000000000000',
  paid_until_us: '1700000060000000',
  duration_ms: 60_000,
  price_micros: '12',
  job: 'job_1',
  receipt: 'rcp_1',
  receipt_hash: 'ab'.repeat(32),
  final: false,
};
const CALLER_TICKET: JsonObject = {
  aud: 'key',
  sandbox: '*',
  incarnation: 0,
  verbs: ['exec', 'read'],
  exp_us: '1700000000000000',
  jti: 'one',
};

const bytes = (text: string): Buffer => Buffer.from(text);
const textOf = (input: Uint8Array): string => Buffer.from(input).toString('utf8');
const vectorTexts = (folder: string): string[] =>
  readdirSync(new URL(folder, VECTORS)).map((name) => readFileSync(new URL(`${folder}${name}`, VECTORS), 'utf8'));
const siweTexts = (): string[] =>
  Object.values(
    JSON.parse(readFileSync(new URL('siwe/parsing_positive.json', VECTORS), 'utf8')) as Record<
      string,
      { message: string }
    >,
  ).map(({ message }) => message);

async function run(context: TestContext, samples: string[], check: Fuzz['check']): Promise<void> {
  const budget = fuzzBudgetOf(process.env, Math.random());
  context.diagnostic(`${budget.inputs} inputs from seed ${budget.seed}`);
  await fuzz({ ...budget, samples: samples.map(bytes), check, cpuUsage: () => process.cpuUsage() });
}

/** What `read` gives, or undefined when it throws the one error it may throw. */
function accepted<T>(read: () => T, error: typeof SyntaxError | typeof TypeError): T | undefined {
  try {
    return read();
  } catch (thrown) {
    assert.ok(thrown instanceof error, `threw ${String(thrown)}`);
    return undefined;
  }
}

const JSON_SAMPLES = [
  ...vectorTexts('jcs/output/'),
  jcs(RUN_TICKET),
  '{"a":[1,2,{"b":null}],"c":"\\u00e9\\n","d":9007199254740991}',
  `${'['.repeat(64)}1${']'.repeat(64)}`,
  '{"a" : 1 , "b" : [ true , false ] }',
];

test('fuzz: strict JSON', async (context) => {
  await run(context, JSON_SAMPLES, (input) => {
    const value = accepted(() => parseStrict(input), SyntaxError);
    if (value === undefined) return assert.ok(!isCanonical(input), 'canonical bytes were refused');
    const text = jcs(value);
    assert.equal(jcs(parseStrict(text)), text);
    // not JSON.parse: in one of two million inputs V8 13.6 itself read the key "\r" as "\\", which the strict reader noticed
    assert.deepEqual(value, parseSlowly(textOf(input), JSON_DEPTH_MAX));
    assert.equal(isCanonical(input), Buffer.from(text).equals(input));
  });
});

test('fuzz: signed envelopes', async (context) => {
  const samples = [
    signEnvelope(RUN_TICKET_TYPE, RUN_TICKET, KEY),
    signEnvelope(CALLER_TICKET_TYPE, CALLER_TICKET, KEY),
  ];
  const known = new Set(samples.map(({ payload }) => payload));
  await run(
    context,
    samples.map((sample) => JSON.stringify(sample)),
    (input) => {
      let envelope: Envelope;
      try {
        envelope = JSON.parse(textOf(input)) as Envelope;
      } catch {
        return;
      }
      for (const type of [RUN_TICKET_TYPE, CALLER_TICKET_TYPE]) {
        const payload = openEnvelope(envelope, type, KEY.publicKey);
        if (!payload) continue;
        assert.equal(Buffer.from(jcs(payload)).toString('base64'), envelope.payload);
        assert.ok(known.has(envelope.payload), 'opened what was never signed');
      }
    },
  );
});

test('fuzz: run tickets and caller tickets', async (context) => {
  await run(context, [jcs(RUN_TICKET), jcs(CALLER_TICKET)], (input) => {
    const value: Json | undefined = accepted(() => parseStrict(input), SyntaxError);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return;
    for (const read of [readRunTicket, readCallerTicket]) {
      const ticket: object = read(value);
      if ('error' in ticket) assert.match(String(ticket.error), /is (missing|malformed|unknown|before)/);
      else assert.equal(jcs(ticket as JsonObject), jcs(value));
    }
  });
});

test('fuzz: checkpoints', async (context) => {
  const signed = signCheckpoint(LOG, { size: 77, root: Buffer.alloc(32, 9) });
  const witness = logKeyFromSeed('witness.example', Buffer.alloc(32, 3));
  const beside = signCheckpoint(witness, { size: 77, root: Buffer.alloc(32, 9) }).split('\n\n')[1]!;
  await run(context, [signed, signed + beside], (input) => {
    const note = textOf(input);
    const opened = openCheckpoint(LOG, note);
    if (!opened) return;
    assert.equal(
      `${LOG.origin}\n${opened.size}\n${opened.root.toString('base64')}\n`,
      note.slice(0, note.lastIndexOf('\n\n') + 1),
    );
    assert.equal(opened.size, 77, 'opened what was never signed');
  });
});

test('fuzz: verifier keys of logs', async (context) => {
  await run(context, [logVerifierOf(LOG)], (input) => {
    const text = textOf(input);
    const verifier = accepted(() => parseLogVerifier(text), TypeError);
    if (verifier) assert.equal(logVerifierOf(verifier), text);
  });
});

test('fuzz: sign-in messages', async (context) => {
  await run(context, siweTexts(), (input) => {
    const text = textOf(input);
    const message = parseSiwe(text);
    if (!('error' in message)) assert.equal(formatSiwe(message), text);
  });
});

test('fuzz: ids of receipts and times', async (context) => {
  await run(
    context,
    [receiptIdOf(0, 12, 1_700_000_000_000_000n), '2026-11-21T06:00:00.123Z', '2026-11-21T06:00:00+02:00'],
    (input) => {
      const text = textOf(input);
      const place = receiptPlace(text);
      if (place) assert.ok(Number.isSafeInteger(place.pos) && place.pos >= 0);
      const timeMs = timeMsOf(text);
      if (timeMs !== undefined) assert.ok(Number.isFinite(timeMs));
    },
  );
});
