/**
 * Tells code from what stands between it: comments, strings, templates and regular expressions.
 * Promise: what is left out becomes blanks, so that every place keeps its line and column.
 */

type Kind = 'comment' | 'string' | 'template' | 'pattern';

const COMMENT = /\/\/[^\n]*|\/\*[\s\S]*?\*\//y;
const STRING = /'(?:[^'\\\n]|\\[\s\S])*'|"(?:[^"\\\n]|\\[\s\S])*"/y;
/** From a backtick, or from the brace that ends an insertion, to the next insertion or the closing backtick. */
const TEMPLATE = /[`}](?:[^`\\$]|\\[\s\S]|\$(?!\{))*(?:`|\$\{)/y;
const PATTERN = /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y;
/** After these a slash opens a regular expression; after anything else it divides. */
const BEFORE_PATTERN = /(?:^|[=(,:[!&|?{};>~+*%<-]|\b(?:return|typeof|case|in|of|await))\s*$/;
const LOOK_BACK_CHARS = 40;

const blank = (found: string): string => found.replace(/[^\n]/g, ' ');

function match(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
}

/** Walks over the text and keeps the braces in mind, to know which one ends an insertion into a template. */
class Walk {
  readonly #text: string;
  #at = 0;
  /** Open braces since each open insertion; empty outside templates. */
  readonly #insertions: number[] = [];
  kept = '';

  constructor(text: string) {
    this.#text = text;
  }

  /** What stands at the place, when it is no code. */
  #find(): { kind: Kind; found: string } | undefined {
    const char = this.#text[this.#at];
    const one = (kind: Kind, pattern: RegExp) => {
      const found = match(pattern, this.#text, this.#at);
      return found === undefined ? undefined : { kind, found };
    };
    if (char === "'" || char === '"') return one('string', STRING);
    if (char === '`' || (char === '}' && this.#insertions.at(-1) === 0)) return one('template', TEMPLATE);
    if (char !== '/') return undefined;
    const before = this.kept.slice(-LOOK_BACK_CHARS);
    return one('comment', COMMENT) ?? (BEFORE_PATTERN.test(before) ? one('pattern', PATTERN) : undefined);
  }

  #follow(found: string): void {
    if (found.startsWith('}')) this.#insertions.pop();
    if (found.endsWith('${')) this.#insertions.push(0);
  }

  #count(char: string): void {
    const open = this.#insertions.length - 1;
    if (open >= 0 && char === '{') this.#insertions[open] = (this.#insertions[open] ?? 0) + 1;
    if (open >= 0 && char === '}') this.#insertions[open] = (this.#insertions[open] ?? 0) - 1;
  }

  run(isKept: (kind: Kind) => boolean): string {
    while (this.#at < this.#text.length) {
      const other = this.#find();
      if (other?.kind === 'template') this.#follow(other.found);
      const char = this.#text[this.#at] ?? '';
      if (!other) this.#count(char);
      this.kept += other && !isKept(other.kind) ? blank(other.found) : (other?.found ?? char);
      this.#at += other?.found.length ?? 1;
    }
    return this.kept;
  }
}

/** The code alone, without comments, strings, templates and regular expressions. */
export const codeOnly = (text: string): string => new Walk(text).run(() => false);

/** Everything but the comments. */
export const withoutComments = (text: string): string => new Walk(text).run((kind) => kind !== 'comment');
