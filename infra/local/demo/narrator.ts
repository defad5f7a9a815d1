/**
 * What the demo tells people while it runs.
 * Promise: works without a terminal; colours and rewritten lines only where there is one.
 */
import pc from 'picocolors';

export interface Narrator {
  chapter(title: string): void;
  line(text: string): void;
  /** A line that the next progress replaces; where nothing can be replaced it is printed seldom, and not for what is over in a moment. */
  progress(text: string): void;
  good(text: string): void;
  bad(text: string): void;
}

const PROGRESS_EVERY_MS = 5_000;

export function narrator(out: NodeJS.WriteStream = process.stdout): Narrator {
  let chapters = 0;
  let isOpen = false;
  let lastProgressMs = Date.now();
  const print = (text: string): void => {
    lastProgressMs = Date.now();
    if (isOpen) out.write('\r\x1b[2K');
    isOpen = false;
    out.write(`${text}\n`);
  };
  return {
    chapter: (title) => print(`\n${pc.bold(`[${chapters++}/7] ${title}`)}`),
    line: (text) => print(`      ${text}`),
    good: (text) => print(`    ${pc.green('✓')} ${text}`),
    bad: (text) => print(`    ${pc.red('✗')} ${text}`),
    progress(text) {
      const nowMs = Date.now();
      if (out.isTTY) {
        out.write(`\r\x1b[2K      ${pc.dim(text)}`);
        isOpen = true;
      } else if (nowMs - lastProgressMs >= PROGRESS_EVERY_MS) {
        lastProgressMs = nowMs;
        print(`      ${text}`);
      }
    },
  };
}
