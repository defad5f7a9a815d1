/** What a person reads when money runs out: how long it lasts, what a machine waits for, and under which name a command is repeated. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type FakePlatform, startFakePlatform } from '@tallystick/sdk/testing';
import { openTerminal, type TestTerminal } from './testing/terminal.ts';

const NOW_MS = Date.parse('2026-11-21T12:00:00Z');
type Members = Record<string, unknown>;

/** A terminal whose platform says something more, or something else. */
async function newScene(change: (path: string) => Members | undefined) {
  const fake: FakePlatform = await startFakePlatform();
  const terminal: TestTerminal = await openTerminal(fake.url);
  terminal.env['TALLY_API_KEY'] = fake.addKey();
  const changed: typeof fetch = async (input, init) => {
    const answer = await fetch(input, init);
    const more = change(new URL(String(input)).pathname);
    return more ? Response.json({ ...((await answer.json()) as Members), ...more }) : answer;
  };
  return {
    terminal,
    run: (...argv: string[]) => terminal.runWith({ fetch: changed, nowMs: () => NOW_MS }, ...argv),
    async [Symbol.asyncDispose]() {
      await terminal[Symbol.asyncDispose]();
      await fake[Symbol.asyncDispose]();
    },
  };
}

const burning = { burn_micros_per_hour: 21_600, funded_until: '2026-11-23T15:30:59Z' };
const ROWS: [what: string, more: Members, expected: RegExp][] = [
  ['nothing runs', {}, /withdrawing +\$0\.00\n$/],
  ['machines run', burning, /\nat \$0\.0216 an hour it lasts 2d3h30m, until 2026-11-23T15:30:59Z\n$/],
  ['money is over', { ...burning, funded_until: '2026-11-21T11:59:00Z' }, /it lasts 0s, until 2026-11-21T11:59:00Z\n$/],
  ['money is on its way', { pending_micros: 5_000_000 }, /\n\$5\.00 more waits for confirmations\n$/],
  [
    'both',
    { ...burning, pending_micros: 1 },
    /until 2026-11-23T15:30:59Z; \$0\.000001 more waits for confirmations\n$/,
  ],
];

for (const [what, more, expected] of ROWS)
  test(`a balance says in one line how long it lasts: ${what}`, async () => {
    await using scene = await newScene((path) => (path.endsWith('/balance') ? more : undefined));
    const { out, err } = await scene.run('balance');
    assert.match(out, expected, err);
    const told = JSON.parse((await scene.run('balance', '--json')).out) as Members;
    assert.deepEqual(told['funded_until'], more['funded_until'] ?? null, 'programs are told it all');
  });

test('a machine that waits for money says so, and until when it helps', async () => {
  const still = {
    ...{ status: 'SANDBOX_STATUS_FROZEN', waiting_for: 'WAITING_FOR_FUNDS' },
    funds_until: '2026-11-21T12:02:00Z',
  };
  await using scene = await newScene((path) => (/\/sandboxes\/sbx_/.test(path) ? still : undefined));
  const { terminal } = scene;
  const { id: job } = JSON.parse((await terminal.run('job', 'create', '--budget', '$1', '--json')).out) as {
    id: string;
  };
  const { id } = JSON.parse((await terminal.run('sandbox', 'create', '--job', job, '--json')).out) as { id: string };
  const { out, err } = await scene.run('sandbox', 'get', id);
  assert.match(out, /waiting for +funds/, err);
  assert.match(out, /stands still for want of money: until 2026-11-21T12:02:00Z a deposit or `tally top-up`/);
  assert.doesNotMatch((await terminal.run('sandbox', 'get', id)).out, /waiting for|top-up/);
});
