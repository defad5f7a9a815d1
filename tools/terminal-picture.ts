/**
 * Turns a recorded terminal into an SVG picture for the README.
 * Promise: shows the lines it was given and nothing else; no script, no font and no image is fetched.
 * Usage: npm run demo > demo.txt; node tools/terminal-picture.ts demo.txt docs/images/demo.svg
 */
import { readFileSync, writeFileSync } from 'node:fs';

const LINE_HEIGHT = 18;
const CHARACTER_WIDTH = 7.8;
const MARGIN = 20;
const TITLE_BAR = 34;
const COLUMNS_MAX = 132;

const ESCAPES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const escaped = (text: string): string => text.replace(/[&<>"]/g, (character) => ESCAPES[character]!);

/** The colour of a line by what it begins with, as the narrator prints it. */
function lineColour(line: string): string {
  if (/^\[[0-9]\/7\]/.test(line)) return '#ffd866';
  if (/^\s+✓/.test(line)) return '#a9dc76';
  if (/^\s+✗/.test(line)) return '#ff6188';
  return '#c8c5c9';
}

function picture(lines: string[]): string {
  const columns = Math.min(COLUMNS_MAX, Math.max(...lines.map((line) => line.length)));
  const width = Math.ceil(columns * CHARACTER_WIDTH) + 2 * MARGIN;
  const height = lines.length * LINE_HEIGHT + TITLE_BAR + MARGIN;
  const rows = lines.map((line, row) => {
    const y = TITLE_BAR + (row + 1) * LINE_HEIGHT - 4;
    const shown = line.length > COLUMNS_MAX ? `${line.slice(0, COLUMNS_MAX - 1)}…` : line;
    return `<text x="${MARGIN}" y="${y}" fill="${lineColour(line)}" xml:space="preserve">${escaped(shown)}</text>`;
  });
  const lights = ['#ff5f56', '#ffbd2e', '#27c93f'].map(
    (fill, i) => `<circle cx="${MARGIN + 4 + i * 18}" cy="16" r="5.5" fill="${fill}"/>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="A recorded run of npm run demo">`,
    `<rect width="${width}" height="${height}" rx="8" fill="#221f22"/>`,
    ...lights,
    `<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="13">`,
    ...rows,
    '</g>',
    '</svg>',
    '',
  ].join('\n');
}

const [from, to] = process.argv.slice(2);
if (!from || !to) throw new Error('usage: node tools/terminal-picture.ts RECORDING PICTURE.svg');
const isAnsi = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*[A-Za-z]`, 'g');
const text = readFileSync(from, 'utf8').replace(isAnsi, '').trim();
writeFileSync(to, picture(text.split('\n')));
