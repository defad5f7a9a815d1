/** The lines of an export: canonical, and the end line knows every byte before it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCanonical, parseStrict } from './canonical.ts';
import { createExportDigest, type ExportEnd, exportHeaderLine, exportReceiptLine, exportTicketLine } from './export.ts';
import { sha256Hex } from './hashes.ts';

const HEADER = exportHeaderLine({
  origin: 'tally.test/log',
  log_verifier: 'tally.test/log+00000000+AA',
  checkpoint: 'note\n',
  size: 1,
  lease_keys: [],
  owner: null,
  policy: { version: '1', hash: 'ab' },
  exported_at_us: '1',
});
const RECEIPT = exportReceiptLine(0, Buffer.from('{"a":"é"}'), [Buffer.from([1, 2, 3])]);
const TICKET = exportTicketLine({ payloadType: 't', payload: 'AA==', signatures: [] });

test('every line is canonical JSON and one newline', () => {
  for (const line of [HEADER, RECEIPT, TICKET]) {
    assert.ok(line.endsWith('\n'));
    assert.ok(isCanonical(line.slice(0, -1)));
  }
});

test('a receipt line carries the stored bytes as text', () => {
  assert.deepEqual(parseStrict(RECEIPT.trimEnd()), { pos: 0, proof: ['AQID'], receipt: '{"a":"é"}' });
  assert.throws(() => exportReceiptLine(0, Uint8Array.of(0xff), []), TypeError);
});

test('the end line holds the counts and the digests of the header and of all bytes', () => {
  const digest = createExportDigest();
  const written = [HEADER, Buffer.from(RECEIPT), TICKET].map((line) => digest.add(line));
  const end = parseStrict(digest.endLine({ receipts: 1, tickets: 1 }).trimEnd()) as unknown as ExportEnd;
  assert.deepEqual(end, {
    type: 'tallystick.export.end',
    receipts: 1,
    tickets: 1,
    header_sha256: sha256Hex(HEADER),
    sha256: sha256Hex(...written),
  });
});
