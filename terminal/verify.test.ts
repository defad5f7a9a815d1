/** What `tally verify` says of who signed: where the key stands to compare it with, with a platform at hand and without. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { signerText } from './commands/receipts.ts';
import type { Io } from './io.ts';
import { openTerminal } from './testing/terminal.ts';

const REPORT = { log_verifier: 'tally.example+1a2b3c4d+AQ' };
const URL = 'http://127.0.0.1:9';

const PLACES: [url: string | undefined, place: string][] = [
  [URL, `at ${URL}/v1/log/checkpoint,`],
  [undefined, 'at /v1/log/checkpoint of the platform,'],
];
for (const [url, place] of PLACES)
  test(`whoever signed is compared ${place}`, async () => {
    await using terminal = await openTerminal(url);
    const said = await signerText({ env: terminal.env, folder: terminal.folder } as unknown as Io, REPORT);
    assert.ok(said.startsWith(`signed by ${REPORT.log_verifier}: compare it with "verifier" ${place}`), said);
  });
