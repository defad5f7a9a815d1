/**
 * Telling code from text, on the spots where simple patterns go wrong.
 * Promise: what is kept stands on its own line and column.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { codeOnly, withoutComments } from './code.ts';

const squeeze = (text: string): string => text.replace(/\s+/g, ' ').trim();

describe('code only', () => {
  const rows: [string, string, string][] = [
    ['a line comment', 'a; // b\nc;', 'a; c;'],
    ['a block comment', 'a /* b\n c */ d', 'a d'],
    ['strings with comment marks', 'a(\'//\', "/*"); b', 'a( , ); b'],
    ['an escaped quote', "a('it\\'s'); b", 'a( ); b'],
    ['a template with a quote', "a(`it's`); b('c')", 'a( ); b( )'],
    ['an insertion', 'a(`x ${b.c} y`); d', 'a( b.c ); d'],
    ['braces inside an insertion', 'a(`x ${f({ g: 1 })} y`); d', 'a( f({ g: 1 }) ); d'],
    ['a template inside a template', 'a(`x ${b(`y ${c} z`)} w`); d', 'a( b( c ) ); d'],
    ['a block before a template', 'if (a) { b }\nc = `d`; e', 'if (a) { b } c = ; e'],
    ['a regular expression with a quote', "a = /it's[/]/g; b", 'a = ; b'],
    ['a division', 'a / b / c', 'a / b / c'],
    ['an address in a string', "a('https://b'); c", 'a( ); c'],
  ];
  for (const [title, text, expected] of rows)
    it(`leaves out ${title}`, () => {
      assert.equal(squeeze(codeOnly(text)), expected);
      assert.equal(codeOnly(text).length, text.length);
      assert.equal(codeOnly(text).split('\n').length, text.split('\n').length);
    });

  it('keeps strings when only comments are to go', () => {
    assert.equal(squeeze(withoutComments("import 'a'; // from 'b'\nf(`// c`)")), "import 'a'; f(`// c`)");
  });
});
