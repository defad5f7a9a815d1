/**
 * From a value of the contract to lines for people.
 * Promise: what a field means is read from its name, the same way everywhere: money as $, times as lengths or moments.
 */
import { formatUsd } from '@tallystick/sdk';
import Table from 'cli-table3';
import type pico from 'picocolors';
import { formatDuration } from '../text/duration.ts';

export type Colours = ReturnType<typeof pico.createColors>;

export type Plain = string | number | boolean | null | Plain[] | { [name: string]: Plain };
export type PlainObject = { [name: string]: Plain };

/** One column: the field it shows, and its heading. */
export interface Column {
  field: string;
  heading: string;
}

const BORDERLESS = {
  chars: Object.fromEntries(
    [
      'top',
      'top-mid',
      'top-left',
      'top-right',
      'bottom',
      'bottom-mid',
      'bottom-left',
      'bottom-right',
      'left',
      'left-mid',
    ]
      .concat(['mid', 'mid-mid', 'right', 'right-mid', 'middle'])
      .map((name) => [name, name === 'middle' ? '  ' : '']),
  ),
  style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [], compact: true },
};

/** The empty string for what is absent. */
export function cellText(field: string, value: Plain | undefined): string {
  if (value === null || value === undefined || value === 'unspecified') return '';
  if (field.endsWith('_micros') || field.includes('_micros_')) return formatUsd(BigInt(value as number));
  if (field.endsWith('_ms') && typeof value === 'number') return formatDuration(BigInt(value));
  if (Array.isArray(value)) return value.map((item) => cellText('', item)).join(', ');
  if (typeof value === 'object') return waysOut(value) ?? JSON.stringify(value);
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return printable(String(value));
}

/** How far a sandbox reaches out: its mode and its rules. */
const waysOut = ({ mode, allow }: PlainObject): string | undefined =>
  typeof mode === 'string' && Array.isArray(allow) ? cellText('', [[mode, ...allow].join(' ')]) : undefined;

/** Text from elsewhere must not steer the terminal: control characters become visible. */
export const printable = (text: string): string =>
  text.replace(/(?![\t\n])\p{Cc}/gu, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);

const trimLines = (text: string): string => text.replace(/[ \t]+$/gm, '');

/** Rows under headings. */
export function tableText(columns: Column[], rows: PlainObject[], colours: Colours): string {
  const table = new Table({ ...BORDERLESS, head: columns.map((column) => colours.bold(column.heading)) });
  for (const row of rows)
    table.push(columns.map(({ field }) => statusColoured(field, cellText(field, row[field]), colours)));
  return trimLines(table.toString());
}

/** One value, a line per field; absent and empty fields and nested ones are left out. */
export function recordText(record: PlainObject, colours: Colours): string {
  const table = new Table(BORDERLESS);
  for (const [field, value] of Object.entries(record)) {
    const text = cellText(field, isNested(value) ? null : value);
    if (text !== '') table.push([colours.dim(wordsOf(field)), statusColoured(field, text, colours)]);
  }
  return trimLines([table.toString(), clampText(record['clamps'], colours)].filter(Boolean).join('\n'));
}

const isNested = (value: Plain): boolean =>
  typeof value === 'object' &&
  value !== null &&
  (!Array.isArray(value) || value.some((item) => typeof item === 'object'));

/** `paid_until` and `max_total_spend_micros` as `paid until` and `max total spend`. */
export const wordsOf = (field: string): string =>
  field
    .replace(/_micros(?=_|$)/, '')
    .replace(/_(ms|at)$/, '')
    .replaceAll('_', ' ');

const CLAMP_HEADINGS = ['LIMIT', 'ASKED', 'APPLIES', 'CLAMPED BY'];

/** What was asked for, what applies, and which rule made it smaller; a dash where none did. */
function clampText(clamps: Plain | undefined, colours: Colours): string {
  if (!Array.isArray(clamps) || clamps.length === 0) return '';
  const table = new Table({ ...BORDERLESS, head: CLAMP_HEADINGS.map((heading) => colours.bold(heading)) });
  for (const { field, requested, effective, rule } of clamps as PlainObject[]) {
    const [asked, applies] = [requested, effective].map((value) => cellText(String(field), value));
    table.push([wordsOf(String(field)), asked, applies, rule ? colours.yellow(cellText('', rule)) : '-']);
  }
  return `\n${trimLines(table.toString())}`;
}

function statusColoured(field: string, text: string, colours: Colours): string {
  if (field !== 'status') return text;
  if (text === 'running' || text === 'active') return colours.green(text);
  return text === 'ended' || text.startsWith('stopped') || text === 'expired'
    ? colours.dim(text)
    : colours.yellow(text);
}
