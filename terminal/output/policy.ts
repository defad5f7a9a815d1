/**
 * What a policy allows and what of it is used, as people read it.
 * Promise: every cap of the answer is a row; what is used of it stands beside it where the platform tells it.
 */
import {
  type Colours,
  type Column,
  cellText,
  type Plain,
  type PlainObject,
  recordText,
  tableText,
  wordsOf,
} from './render.ts';

const COLUMNS: Column[] = [
  { field: 'name', heading: 'CAP' },
  { field: 'allowed', heading: 'ALLOWED' },
  { field: 'used', heading: 'USED' },
  { field: 'left', heading: 'LEFT' },
];

/** The caps that the platform counts against: what is used of them, what is left. */
const COUNTED: Readonly<Record<string, readonly [used: string, left: string]>> = {
  spend_micros_per_day_max: ['spent_today_micros', 'left_today_micros'],
  withdraw_micros_per_month_max: ['withdrawn_this_month_micros', 'left_to_withdraw_micros'],
  sandboxes_max: ['sandboxes_running', 'sandboxes_left'],
};

const HOW_TO_GET_MORE = `How to get more: a cap belongs to the tier. Ask the administrators of the platform for a higher one, with the principal
above (they write: tally admin tier PRINCIPAL trusted --reason …). What is used per day is counted anew at 00:00 UTC.`;

/** The answer of GET /v1/policy. */
export function policyText({ caps, use, ...rest }: PlainObject, colours: Colours): string {
  const counts = (use ?? {}) as PlainObject;
  const rows = Object.entries((caps ?? {}) as PlainObject).map(([field, allowed]) => {
    const [used = '', left = ''] = (COUNTED[field] ?? []).map((count) => cellText(count, counts[count]));
    return { name: capName(field), allowed: capText(field, allowed), used, left };
  });
  const day = counts['day'] ? { ...rest, day: counts['day'] } : rest;
  return [recordText(day, colours), tableText(COLUMNS, rows, colours), HOW_TO_GET_MORE].join('\n\n');
}

/** `spend_micros_per_day_max`, `ttl_ms_default` as `spend per day`, `ttl (default)`. */
const capName = (field: string): string =>
  wordsOf(field.replace(/_ms(?=_)/, '').replace(/_max$/, '')).replace(/ (min|default)$/, ' ($1)');

const BYTES_PER_GIB = 2 ** 30;

const capText = (field: string, allowed: Plain | undefined): string =>
  field.endsWith('_bytes_max') && typeof allowed === 'number'
    ? `${+(allowed / BYTES_PER_GIB).toFixed(3)} GiB`
    : cellText(shownAs(field), allowed);

/** `ttl_ms_max` is a length of time, as `ttl_ms` is. */
const shownAs = (field: string): string => field.replace(/_(max|min|default)$/, '');
