/**
 * The audit program: replays a shard of a live database from its receipts alone and compares every table with the result.
 * Promise: reads one snapshot and writes nothing there; exit code 0: all is as the receipts say, 1: it is not, 2: it could
 * not be said. With --resume it goes on where an earlier audit stopped.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { deserialize, serialize } from 'node:v8';
import { type Audit, type AuditMark, type AuditProgress, auditShard } from '@tallystick/engine';
import { type Database, openDatabase } from '@tallystick/engine/database';
import { type LogVerifier, logKeyFromSeed, logVerifierOf, parseLogVerifier, sha256Hex } from '@tallystick/kernel';
import { RULES } from '@tallystick/planes';

const HELP = `node meter/audit.ts [options]

  --data DIR      folder of the platform whose database is audited (default: TALLY_DATA); DATABASE_URL wins
  --log-key TEXT  the log's verifier key, name+hash+key, as you know it by other means
                  (default: that of the folder's own key, which shows only that the database fits itself)
  --shard N       which shard (default: 0)
  --resume FILE   keep marks in FILE, and go on from the one that stands there
  --json          the verdict as one line of JSON
Progress goes to standard error. Exit code 0: no problem, 1: problems, 2: the audit could not be carried out.`;

const ORIGIN_DEFAULT = 'tallystick.local/log';
const PROGRESS_EVERY_MS = 1_000;
const DIGEST_CHARS = 64;
const EXIT = { clean: 0, problems: 1, failed: 2 } as const;

const { values } = parseArgs({
  options: {
    data: { type: 'string' },
    'log-key': { type: 'string' },
    shard: { type: 'string', default: '0' },
    resume: { type: 'string' },
    json: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  },
});

/** @errors throws TypeError when the text is no key, or when none is told and the folder has none */
function logKey(folder: string | undefined): LogVerifier {
  if (values['log-key']) return parseLogVerifier(values['log-key']);
  const file = process.env['TALLY_LOG_KEY_FILE'] ?? (folder && join(folder, 'keys', 'log.seed'));
  if (!file || !existsSync(file)) throw new TypeError('needs --log-key: the verifier key of the log');
  const seed = Buffer.from(readFileSync(file, 'utf8').trim(), 'base64');
  return parseLogVerifier(logVerifierOf(logKeyFromSeed(process.env['TALLY_ORIGIN'] ?? ORIGIN_DEFAULT, seed)));
}

/** A mark is one digest line and the memory of an audit; a damaged one is refused. */
function readMark(file: string | undefined): AuditMark | undefined {
  if (!file || !existsSync(file)) return undefined;
  const bytes = readFileSync(file);
  const content = bytes.subarray(DIGEST_CHARS);
  if (sha256Hex(content) !== bytes.subarray(0, DIGEST_CHARS).toString())
    throw new TypeError(`${file} is no mark of an audit, or is damaged: remove it to start from the first receipt`);
  return deserialize(content) as AuditMark;
}

function writeMark(file: string, mark: AuditMark): void {
  const content = serialize(mark);
  writeFileSync(`${file}.new`, Buffer.concat([Buffer.from(sha256Hex(content)), content]), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

function progressPrinter(): (progress: AuditProgress) => void {
  const startedAtMs = performance.now();
  let toldAtMs = startedAtMs;
  return ({ receipts, head, problems }) => {
    if (performance.now() - toldAtMs < PROGRESS_EVERY_MS) return;
    toldAtMs = performance.now();
    const share = head === 0 ? 100 : Math.floor((receipts / head) * 100);
    process.stderr.write(`${receipts} of ${head} receipts (${share} %), ${problems} problems\n`);
  };
}

function print({ receipts, problems }: Audit, { origin }: LogVerifier): void {
  const verdict = problems.length === 0 ? 'everything follows from them' : `${problems.length} problems`;
  const text = [...problems.map((problem) => `problem: ${problem}`), `${receipts} receipts of ${origin}: ${verdict}`];
  const report = { ok: problems.length === 0, origin, receipts, problems };
  console.log(values.json ? JSON.stringify(report) : text.join('\n'));
}

async function main(): Promise<number> {
  const folder = values.data ?? process.env['TALLY_DATA'];
  const key = logKey(folder);
  const shard = Number(values.shard);
  const from = readMark(values.resume);
  if (from) process.stderr.write(`going on behind receipt ${from.log.size}\n`);
  const url = process.env['DATABASE_URL'];
  const wasRunning = folder !== undefined && existsSync(join(folder, 'data', 'postmaster.pid'));
  const database: Database = await openDatabase({ ...(url ? { url } : {}), ...(folder ? { folder } : {}) });
  try {
    const audit = await auditShard({
      database,
      role: 'meter',
      rules: RULES,
      logKey: key,
      shard,
      onProgress: progressPrinter(),
      ...(from ? { from } : {}),
      ...(values.resume ? { onMark: (mark: AuditMark) => writeMark(values.resume!, mark) } : {}),
    });
    print(audit, key);
    return audit.problems.length === 0 ? EXIT.clean : EXIT.problems;
  } finally {
    if (!wasRunning) await database.stop(); // one that serves a platform goes on
  }
}

if (values.help) console.log(HELP);
else
  process.exitCode = await main().catch((fault: Error) => {
    process.stderr.write(`the audit could not be carried out: ${fault.message}\n`);
    return EXIT.failed;
  });
