import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import test from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { narrator } from './narrator.ts';

function sink(isTTY: boolean) {
  let text = '';
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  });
  return { stream: Object.assign(stream, { isTTY }) as unknown as NodeJS.WriteStream, text: () => text };
}

test('without a terminal no progress is printed of what is over in a moment', () => {
  const { stream, text } = sink(false);
  const say = narrator(stream);
  say.progress('uploading 0.0 MiB');
  say.line('done');
  say.progress('uploading 0.1 MiB');
  assert.equal(text(), '      done\n');
});

test('on a terminal progress is one line that is rewritten', () => {
  const { stream, text } = sink(true);
  const say = narrator(stream);
  say.progress('one');
  say.progress('two');
  say.line('done');
  assert.equal(stripVTControlCharacters(text()), '\r      one\r      two\r      done\n');
});
