/**
 * What people get who copy an example out of the README, the sdk's page or a guide: a program that runs.
 * Promise: the code is taken from the pages as it stands there and run as a process of its own against a real platform.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Platform, ROOT, startPlatform } from './harness/platform.ts';

const EXAMPLE_MS_MAX = 60_000;
const FENCE = /^```ts\n(.*?)^```$/gms;

/** What an example without a login of its own stands behind: a page says so, and shows a whole one. */
const PRELUDE = `import { connect as door, login as signIn, newPrivateKey as wallet, signerOfPrivateKey as signerOf, USUAL_SCOPES, WITHDRAW_SCOPE } from '@tallystick/sdk';
const scopes = [...USUAL_SCOPES, WITHDRAW_SCOPE];
const opened = await signIn({ baseUrl: process.env.TALLY_URL!, signer: signerOf(wallet()), scopes });
const tally = door({ baseUrl: process.env.TALLY_URL!, apiKey: opened.secret });
await tally.depositDevelopment(5_000_000n);
const job = await tally.jobs.create({ maxTotalSpendMicros: 1_000_000n });
await using sandbox = await job.sandboxes.create({ quantumMs: 10_000n });
`;

interface Example {
  page: string;
  /** Counted from 1. */
  number: number;
  code: string;
}

const isWhole = (code: string): boolean => /\blogin\(/.test(code);

function examplesIn(page: string): Example[] {
  const found = readFileSync(join(ROOT, page), 'utf8').matchAll(FENCE);
  return [...found].map((match, index) => ({ page, number: index + 1, code: match[1]! }));
}

const PAGES = ['README.md', 'sdk/README.md', ...globSync('docs/guides/*.md', { cwd: ROOT }).sort()];
const EXAMPLES = PAGES.flatMap(examplesIn);

/** What a page promises of its example beyond that it ends well. */
const SAYS: Readonly<Record<string, RegExp>> = {
  'README.md 1': /^42$/m,
  'sdk/README.md 1': /hello\.txt/,
  'docs/guides/let-an-agent-pay.md 1': /^paid \$0\.\d+ 0x[0-9a-f]{64}\nbought$/m,
  'docs/guides/pay-with-x402.md 1': /^1000000n$/m,
  'docs/guides/sit-at-a-terminal.md 1': /Linux/,
};

describe('the examples run', { concurrency: 2 }, () => {
  let platform: Platform;
  let folder: string;
  before(async () => {
    platform = await startPlatform();
    folder = mkdtempSync(join(tmpdir(), 'tally-examples-'));
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  });
  after(async () => {
    await platform?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  test('every page that is meant to have examples has some', () => {
    for (const page of ['README.md', 'sdk/README.md', 'docs/guides/keep-a-secret.md'])
      assert.ok(
        EXAMPLES.some((example) => example.page === page),
        page,
      );
  });

  for (const { page, number, code } of EXAMPLES)
    test(`${page}, example ${number}`, async () => {
      const name = `${page.replaceAll('/', '-')}-${number}`;
      const place = join(folder, `in-${name}`);
      mkdirSync(place);
      writeFileSync(join(place, 'hello.txt'), 'hello\n');
      const file = join(folder, `${name}.ts`);
      writeFileSync(file, isWhole(code) ? code : `${PRELUDE}${code}`);
      const ran = await runExample(file, place, platform.url);
      assert.equal(ran.code, 0, ran.said);
      assert.match(ran.said, SAYS[`${page} ${number}`] ?? /^/);
    });
});

/** Like somebody who saved it beside their project. */
async function runExample(file: string, cwd: string, url: string): Promise<{ code: number | null; said: string }> {
  const env = { ...process.env, TALLY_URL: url, API_TOKEN: 'correct-horse-battery', NODE_NO_WARNINGS: '1' };
  const child = spawn(process.execPath, [file], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  const timer = setTimeout(() => child.kill('SIGKILL'), EXAMPLE_MS_MAX);
  const [code] = (await once(child, 'close')) as [number | null];
  clearTimeout(timer);
  return { code, said };
}
