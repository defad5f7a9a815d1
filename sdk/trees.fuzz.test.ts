/**
 * Trees that a hostile machine packs: TALLY_FUZZ_INPUTS / 100 damaged tar streams, from TALLY_SEED.
 * Promise: unpacking ends, with or without an error; nothing is written outside the folder, and nothing in it leads outside.
 */
import assert from 'node:assert/strict';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { test } from 'node:test';
import { diceOf, fuzz, fuzzBudgetOf } from '@tallystick/kernel/fuzz';
import { create, Header } from 'tar';
import { unpackInto } from './files.ts';

const INPUTS_PER_TREE = 100;
const BLOCK_BYTES = 512;

async function packed(folder: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of create({ cwd: folder, portable: true }, ['.']) as unknown as AsyncIterable<Buffer>)
    chunks.push(chunk);
  return Buffer.concat(chunks);
}

type Entry = { path: string; type: string; linkpath?: string; body?: string };

/** A stream of these entries, made by hand: no packer would write them. */
function tarOf(...entries: Entry[]): Buffer {
  const blocks = entries.flatMap(({ path, type, linkpath, body = '' }) => {
    const header = new Header({ path, type: type as 'File', linkpath: linkpath ?? '', size: body.length, mode: 0o644 });
    const block = Buffer.alloc(BLOCK_BYTES);
    header.encode(block, 0);
    const content = Buffer.alloc(Math.ceil(body.length / BLOCK_BYTES) * BLOCK_BYTES);
    content.write(body);
    return [block, content];
  });
  return Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK_BYTES)]);
}

const HOSTILE: Entry[][] = [
  [{ path: '../out', type: 'File', body: 'x' }],
  [{ path: '/tmp/out', type: 'File', body: 'x' }],
  [
    { path: 'link', type: 'SymbolicLink', linkpath: '..' },
    { path: 'link/out', type: 'File', body: 'x' },
  ],
  [
    { path: 'a', type: 'SymbolicLink', linkpath: 'b/../..' },
    { path: 'a/out', type: 'File', body: 'x' },
  ],
  [
    { path: 'hard', type: 'Link', linkpath: '../kept' },
    { path: 'hard', type: 'File', body: 'changed' },
  ],
  [{ path: 'device', type: 'CharacterDevice' }],
  [{ path: 'pipe', type: 'FIFO' }],
];

/** Links below a folder that lead out of it. */
function leadingOut(folder: string, root = folder): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return leadingOut(path, root);
    if (!entry.isSymbolicLink()) return entry.isFile() ? [] : [path];
    const target = resolve(dirname(path), readlinkSync(path));
    return target === root || target.startsWith(`${root}/`) ? [] : [path];
  });
}

test('fuzz: trees that come down stay in their folder', async (context) => {
  const { inputs, seed } = fuzzBudgetOf(process.env, Math.random());
  const trees = Math.ceil(inputs / INPUTS_PER_TREE);
  context.diagnostic(`${trees} inputs from seed ${seed}`);
  const base = mkdtempSync(join(tmpdir(), 'tally-fuzz-'));
  const [good, place] = [join(base, 'good'), join(base, 'place')];
  mkdirSync(join(good, 'inner'), { recursive: true });
  writeFileSync(join(good, 'inner', 'file'), 'content');
  symlinkSync('inner/file', join(good, 'link'));
  mkdirSync(place);
  writeFileSync(join(place, 'kept'), 'kept');
  const samples = [await packed(good), ...HOSTILE.map((entries) => tarOf(...entries))];
  const dice = diceOf(seed + 1);
  function* pieces(input: Uint8Array): Generator<Uint8Array> {
    for (let at = 0, size = 0; at < input.length; at += size) {
      size = 1 + dice(2_000);
      yield input.subarray(at, at + size);
    }
  }
  try {
    await fuzz({
      inputs: trees,
      seed,
      samples,
      cpuUsage: () => process.cpuUsage(),
      async check(input, number) {
        const name = `folder-${number}`;
        const folder = join(place, name);
        mkdirSync(folder);
        await unpackInto(folder, ReadableStream.from(pieces(input))).catch((fault: unknown) =>
          assert.ok(fault instanceof Error),
        );
        assert.deepEqual(readdirSync(place).sort(), [name, 'kept'], 'something was written beside the folder');
        assert.equal(lstatSync(join(place, 'kept')).size, 'kept'.length);
        assert.equal(lstatSync(join(place, 'kept')).nlink, 1);
        assert.deepEqual(leadingOut(folder), []);
        await rm(folder, { recursive: true, maxRetries: 10 }); // after an error some files are still on their way
      },
    });
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
});
