// The log's arithmetic against a direct reading of RFC 6962 and the public vectors, and the checkpoint note.
// Promise: what is true verifies at every size, what is false does not.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type LogKey,
  logKeyFromSeed,
  logVerifierOf,
  openCheckpoint,
  parseLogVerifier,
  signCheckpoint,
} from './checkpoint.ts';
import { sha256 } from './hashes.ts';
import * as merkle from './merkle.ts';

const SIZE = 700;
const NOTHING: merkle.Frontier = { size: 0, roots: [] };
const leaves = Array.from({ length: SIZE }, (_, i) => merkle.leafHash(`leaf ${i}`));
const full = merkle.appendLeaves(NOTHING, leaves);
const source: merkle.HashSource = {
  tileRoot: async (level, index) => full.tileRoots.find((t) => t.level === level && t.index === index)!.hash,
  leaves: async (from, to) => leaves.slice(from, to),
};

function plainRoot(from: number, to: number): Buffer {
  if (to === from) return sha256('');
  if (to - from === 1) return leaves[from]!;
  let split = 1;
  while (split * 2 < to - from) split *= 2;
  return merkle.nodeHash(plainRoot(from, from + split), plainRoot(from + split, to));
}
const roots = Array.from({ length: SIZE + 1 }, (_, size) => plainRoot(0, size));

interface InclusionVector {
  leafIdx: number;
  treeSize: number;
  root: string | null;
  leafHash: string | null;
  proof: string[] | null;
  desc: string;
  wantErr: boolean;
}

test('RFC 6962 inclusion vectors, good and bad', () => {
  const folder = new URL('../proto/vectors/merkle/inclusion/', import.meta.url);
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.json'));
  const bytes = (text: string | null): Buffer => Buffer.from(text ?? '', 'base64');
  for (const name of names) {
    const path = name.split('/').map(encodeURIComponent).join('/');
    const v: InclusionVector = JSON.parse(readFileSync(new URL(path, folder), 'utf8'));
    const proof = (v.proof ?? []).map(bytes);
    assert.equal(
      merkle.verifyInclusion(bytes(v.leafHash), v.leafIdx, v.treeSize, proof, bytes(v.root)),
      !v.wantErr,
      `${name}: ${v.desc}`,
    );
  }
  assert.ok(names.length >= 98);
});

test('the frontier gives the root of RFC 6962 at every size, in any batch sizes, and survives packing', () => {
  let log = NOTHING;
  for (let step = 1; log.size < SIZE; step = (step % 7) + 1) {
    log = merkle.appendLeaves(log, leaves.slice(log.size, Math.min(log.size + step, SIZE))).frontier;
    log = merkle.readFrontier(log.size, merkle.packFrontier(log));
    assert.deepEqual(merkle.rootOf(log), roots[log.size]);
  }
  assert.deepEqual(merkle.rootOf(NOTHING), sha256(''));
  assert.throws(() => merkle.readFrontier(3, Buffer.alloc(32)), /needs 2 hashes/);
});

test('every leaf is provable in every kind of size; a wrong leaf, index, size or path is not', async () => {
  for (const size of [1, 2, 3, 255, 256, 257, 512, 600, SIZE]) {
    for (let i = 0; i < size; i += size > 10 ? 7 : 1) {
      const path = await merkle.inclusionProof(i, size, source);
      assert.ok(merkle.verifyInclusion(leaves[i]!, i, size, path, roots[size]!));
      assert.ok(!merkle.verifyInclusion(leaves[(i + 1) % SIZE]!, i, size, path, roots[size]!));
      assert.ok(size === 1 || !merkle.verifyInclusion(leaves[i]!, (i + 1) % size, size, path, roots[size]!));
      assert.ok(size === 1 || !merkle.verifyInclusion(leaves[i]!, i, size, path.slice(1), roots[size]!));
      assert.ok(!merkle.verifyInclusion(leaves[i]!, i, size, [...path, leaves[0]!], roots[size]!));
    }
  }
  await assert.rejects(merkle.inclusionProof(3, 3, source), RangeError);
  assert.ok(!merkle.verifyInclusion(leaves[0]!, -1, 1, [], roots[1]!));
});

test('[I-19] any log is proven to extend any older one, and no other', async () => {
  const sizes = fc
    .tuple(fc.nat({ max: SIZE }), fc.nat({ max: SIZE }))
    .map(([a, b]) => (a < b ? [a, b] : [b, a]) as [number, number]);
  const property = fc.asyncProperty(sizes, async ([older, newer]) => {
    const path = await merkle.consistencyProof(older, newer, source);
    const verify = (p: Buffer[], a: Buffer, b: Buffer, from = older): boolean =>
      merkle.verifyConsistency(from, newer, p, a, b);
    assert.ok(verify(path, roots[older]!, roots[newer]!), `${older} -> ${newer}`);
    assert.ok(!verify(path, sha256('other'), roots[newer]!));
    assert.ok(!verify([...path, leaves[0]!], roots[older]!, roots[newer]!));
    if (older === 0) return;
    assert.ok(!verify(path, roots[older]!, sha256('other')));
    if (path.length === 0) return;
    assert.ok(!verify(path.slice(1), roots[older]!, roots[newer]!));
    assert.ok(!verify(path.with(0, sha256('x')), roots[older]!, roots[newer]!));
  });
  await fc.assert(property, { numRuns: 400 });
  for (let older = 1; older <= 17; older++)
    for (let newer = older; newer <= 17; newer++)
      assert.ok(
        merkle.verifyConsistency(
          older,
          newer,
          await merkle.consistencyProof(older, newer, source),
          roots[older]!,
          roots[newer]!,
        ),
      );
  await assert.rejects(merkle.consistencyProof(4, 3, source), RangeError);
  assert.ok(!merkle.verifyConsistency(4, 3, [], roots[4]!, roots[3]!));
});

const key = logKeyFromSeed('log.example/study', Buffer.alloc(32, 7));
const other = logKeyFromSeed('log.example/study', Buffer.alloc(32, 8));
const note = signCheckpoint(key, { size: 3, root: roots[3]! });
const body = note.slice(0, note.indexOf('\n\n') + 1);
const signed = (by: LogKey, text: string): string =>
  `${text}\n— ${by.origin} ${Buffer.concat([by.keyHash, by.sign(Buffer.from(text))]).toString('base64')}\n`;
const line = (text: string): string => text.slice(text.indexOf('\n\n') + 2);

test('a checkpoint opens under the verifier key of its log, beside signatures of witnesses', () => {
  const verifier = parseLogVerifier(logVerifierOf(key));
  assert.deepEqual(verifier.publicKey, key.publicKey);
  const opened = { size: 3, root: roots[3] };
  assert.deepEqual(openCheckpoint(verifier, note), opened);
  assert.deepEqual(openCheckpoint(verifier, note + line(signed(other, body))), opened);
  assert.deepEqual(openCheckpoint(verifier, signed(key, `${body}extension\n`)), opened);
});

const BAD_NOTES: [string, string][] = [
  ['of another key', signed(other, body)],
  ['with another size', note.replace('\n3\n', '\n4\n')],
  ['of another origin', signed(key, body.replace('study', 'other'))],
  ['without a signature', body],
  ['without its last newline', note.slice(0, -1)],
  ['with a leading zero', signed(key, body.replace('\n3\n', '\n03\n'))],
  ['with a negative size', signed(key, body.replace('\n3\n', '\n-3\n'))],
  ['with a short root', signed(key, `${key.origin}\n3\n${Buffer.alloc(31).toString('base64')}\n`)],
  ['with a root in another spelling', signed(key, body.replace(/=\n$/, '\n'))],
  ['without a root', signed(key, `${key.origin}\n3\n`)],
  ['with garbage among the signatures', `${note}garbage\n`],
  ['beyond the limit', note + line(note).repeat(40)],
  ['with a flipped bit', `${note.slice(0, -10)}${note.at(-10) === 'A' ? 'B' : 'A'}${note.slice(-9)}`],
  ['that is empty', ''],
];

for (const [what, text] of BAD_NOTES) {
  test(`a note ${what} does not open`, () => {
    assert.equal(openCheckpoint(key, text), undefined);
  });
}

test('a verifier key that does not fit is refused', () => {
  const text = logVerifierOf(key);
  for (const bad of ['', 'a', text.replace('study', 'other'), text.slice(0, -1), `${text}A`, text.replace('+', ' ')]) {
    assert.throws(() => parseLogVerifier(bad), TypeError, bad);
  }
  assert.throws(() => logKeyFromSeed('has space', Buffer.alloc(32)), TypeError);
  assert.throws(() => logKeyFromSeed('log', Buffer.alloc(31)), TypeError);
});
