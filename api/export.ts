/**
 * Writes everything that one principal needs to verify its receipts offline.
 * Promise: streamed page by page, in the order of the log, all against one signed checkpoint.
 */
import {
  type Engine,
  FROM_START,
  inclusions,
  latestCheckpoint,
  listStreams,
  PAGE_MAX,
  type ReceiptRow,
  readReceipts,
  readTickets,
  streamsBegunUnowned,
} from '@tallystick/engine';
import { providerStream } from '@tallystick/hosting';
import {
  createExportDigest,
  type ExportLeaseKey,
  exportHeaderLine,
  exportReceiptLine,
  exportTicketLine,
  keyIdOf,
  logVerifierOf,
  type Receipt,
  standingStream,
} from '@tallystick/kernel';
import { refuse } from '@tallystick/surface';

const RECEIPTS_PER_PAGE = 500;
const STREAMS_AT_ONCE = 16;

export interface ExportOptions {
  engine: Engine;
  /** Raw Ed25519 public keys, base64. */
  leaseKeys: string[];
}

interface Counts {
  receipts: number;
  tickets: number;
}

export async function* exportLines(options: ExportOptions, owner: string): AsyncGenerator<Uint8Array> {
  const { engine } = options;
  const checkpoint = await latestCheckpoint(engine);
  if (!checkpoint) throw refuse('NOT_FOUND', {}, 'the log is empty');
  const digest = createExportDigest();
  const counts: Counts = { receipts: 0, tickets: 0 };
  yield bytes(digest.add(headerLine(options, owner, checkpoint)));
  for await (const page of receiptPages(engine, owner, checkpoint.size)) {
    const positions = page.map(({ pos }) => pos);
    const [tickets, paths] = await Promise.all([
      readTickets(engine, positions),
      inclusions(engine, positions, checkpoint.size),
    ]);
    for (const [i, row] of page.entries()) {
      counts.receipts += 1;
      yield bytes(digest.add(exportReceiptLine(row.pos, row.bytes, paths[i]!)));
      for (const ticket of tickets.get(row.pos) ?? []) {
        counts.tickets += 1;
        yield bytes(digest.add(exportTicketLine(ticket)));
      }
    }
  }
  yield bytes(digest.endLine(counts));
}

const bytes = (line: string): Uint8Array => Buffer.from(line, 'utf8');

function headerLine(
  { engine, leaseKeys }: ExportOptions,
  owner: string,
  checkpoint: { size: number; note: string },
): string {
  const keys = leaseKeys.map(
    (public_key): ExportLeaseKey => ({ keyid: keyIdOf(Buffer.from(public_key, 'base64')), public_key }),
  );
  return exportHeaderLine({
    origin: engine.origin,
    log_verifier: logVerifierOf(engine.logKey),
    checkpoint: checkpoint.note,
    size: checkpoint.size,
    lease_keys: keys,
    owner,
    policy: engine.rules.policy,
    exported_at_us: String(engine.nowUs()),
  });
}

/**
 * In log order: the principal's own receipts, and what nobody owns but they stand on: the beginnings of its streams, and
 * the switches of providers.
 */
async function* receiptPages(engine: Engine, owner: string, size: number): AsyncGenerator<ReceiptRow[]> {
  const nobodys = [...(await beginnings(engine, owner)), ...(await providerSwitches(engine, owner))];
  const early = nobodys.sort((a, b) => a.pos - b.pos);
  let after = FROM_START;
  for (;;) {
    const page = await readReceipts(engine, { owner, after, limit: RECEIPTS_PER_PAGE });
    const last = page.at(-1)?.pos ?? size;
    const before = early.splice(0, early.filter(({ pos }) => pos < last).length);
    yield [...before, ...page].filter(({ pos }) => pos < size).sort((a, b) => a.pos - b.pos);
    if (page.length < RECEIPTS_PER_PAGE || last >= size) return;
    after = last;
  }
}

/** What the owner's streams begin with: the nonce of a login has no owner, the login does; money is told to whoever waits, or nobody. */
async function beginnings(engine: Engine, owner: string): Promise<ReceiptRow[]> {
  const streams = [...new Set([standingStream(owner), ...(await streamsBegunUnowned(engine, owner))])];
  const rows: ReceiptRow[] = [];
  for (let at = 0; at < streams.length; at += STREAMS_AT_ONCE)
    rows.push(
      ...(await Promise.all(streams.slice(at, at + STREAMS_AT_ONCE).map((stream) => unowned(engine, stream)))).flat(),
    );
  return rows;
}

/** The first receipts of a stream that somebody owned only later: refusals, and what made it. */
async function unowned(engine: Engine, stream: string): Promise<ReceiptRow[]> {
  const receipts = await streamReceipts(engine, stream);
  return receipts.filter((row) => receiptOf(row).owner === null);
}

/** Receipts of the switches of all providers where the owner had sandboxes: each opening and sale looked at one. */
async function providerSwitches(engine: Engine, owner: string): Promise<ReceiptRow[]> {
  const providers = new Set<string>();
  for (let after: number | undefined; ; ) {
    const page = await listStreams(engine, { kind: 'sandbox', owner, limit: PAGE_MAX, ...(after ? { after } : {}) });
    for (const { state } of page) providers.add(String(state['provider']));
    after = page.at(-1)?.createdPos ?? undefined;
    if (page.length < PAGE_MAX) break;
  }
  const switches = [...providers].map((name) => streamReceipts(engine, providerStream(name)));
  return (await Promise.all(switches)).flat();
}

async function streamReceipts(engine: Engine, stream: string): Promise<ReceiptRow[]> {
  const rows: ReceiptRow[] = [];
  for (;;) {
    const page = await readReceipts(engine, { stream, after: rows.at(-1)?.pos ?? FROM_START, limit: PAGE_MAX });
    rows.push(...page);
    if (page.length < PAGE_MAX) return rows;
  }
}

const receiptOf = ({ bytes: stored }: ReceiptRow): Receipt => JSON.parse(stored.toString('utf8')) as Receipt;
