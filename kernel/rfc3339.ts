/**
 * RFC 3339 date-times as milliseconds.
 * Promise: a moment that no calendar has is refused; no clock and no time zone of the machine is asked.
 */

const DATE_TIME =
  /^([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))$/;
const DAY_MS = 86_400_000;
const MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Milliseconds since 1970, finer digits cut off; undefined when the text is no date-time. Leap seconds are not read. */
export function timeMsOf(text: string): number | undefined {
  const match = DATE_TIME.exec(text);
  if (!match) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const [offsetHour, offsetMinute] = [Number(match[9] ?? 0), Number(match[10] ?? 0)];
  if (month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) return undefined;
  if (hour > 23 || minute > 59 || second > 59 || offsetHour > 23 || offsetMinute > 59) return undefined;
  const milliseconds = Number((match[7] ?? '').padEnd(3, '0').slice(0, 3));
  const offsetMinutes = (match[8] === '-' ? -1 : 1) * (offsetHour * 60 + offsetMinute);
  const minutes = hour * 60 + minute - offsetMinutes;
  return daysSince1970(year, month, day) * DAY_MS + minutes * 60_000 + second * 1000 + milliseconds;
}

const isLeap = (year: number): boolean => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
const daysIn = (year: number, month: number): number => (month === 2 && isLeap(year) ? 29 : MONTH_DAYS[month - 1]!);

function daysSince1970(year: number, month: number, day: number): number {
  const before = year - 1;
  const leapDays = Math.floor(before / 4) - Math.floor(before / 100) + Math.floor(before / 400);
  let days = before * 365 + leapDays - 719_162 + day - 1; // 719162 days lie between 0001-01-01 and 1970-01-01
  for (let m = 1; m < month; m++) days += daysIn(year, m);
  return days;
}

const US_PER_MS = 1_000n;
const DAYS_PER_400_YEARS = 146_097;
const DAYS_0000_03_01_TO_1970 = 719_468;

/** `2026-01-31T12:00:00.000Z` of microseconds since 1970, finer digits cut off. */
export function timeTextOf(atUs: bigint): string {
  const ms = Number(atUs / US_PER_MS);
  const days = Math.floor(ms / DAY_MS);
  const inDay = ms - days * DAY_MS;
  const clock = [inDay / 3_600_000, (inDay / 60_000) % 60, (inDay / 1000) % 60].map((part) => digits(part, 2));
  return `${dateTextOf(days)}T${clock.join(':')}.${digits(inDay % 1000, 3)}Z`;
}

const DAY_CHARS = 10;
const MONTH_CHARS = 7;
/** A day of the next month, whatever the day before it. */
const DAYS_OF_LONGEST_MONTH = 31;

/** The UTC day of a moment in microseconds since 1970, `yyyy-mm-dd`. */
export const dayOf = (atUs: bigint): string => timeTextOf(atUs).slice(0, DAY_CHARS);
/** The UTC month of a moment in microseconds since 1970, `yyyy-mm`. */
export const monthOf = (atUs: bigint): string => timeTextOf(atUs).slice(0, MONTH_CHARS);

/** When the month after a month `yyyy-mm` begins, in microseconds since 1970. @errors throws TypeError for what is no month */
export function monthEndUs(month: string): bigint {
  const startMs = timeMsOf(`${month}-01T00:00:00Z`);
  if (startMs === undefined) throw new TypeError(`${month} is no month`);
  const within = (BigInt(startMs) + BigInt(DAYS_OF_LONGEST_MONTH * DAY_MS)) * US_PER_MS;
  return BigInt(timeMsOf(`${monthOf(within)}-01T00:00:00Z`)!) * US_PER_MS;
}

/** Counts years from March, so that the leap day is the last one. */
function dateTextOf(days: number): string {
  const shifted = days + DAYS_0000_03_01_TO_1970;
  const era = Math.floor(shifted / DAYS_PER_400_YEARS);
  const dayOfEra = shifted - era * DAYS_PER_400_YEARS;
  const leaps = Math.floor(dayOfEra / 1460) - Math.floor(dayOfEra / 36_524) + Math.floor(dayOfEra / 146_096);
  const yearOfEra = Math.floor((dayOfEra - leaps) / 365);
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1;
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9;
  const year = era * 400 + yearOfEra + (month <= 2 ? 1 : 0);
  return `${digits(year, 4)}-${digits(month, 2)}-${digits(day, 2)}`;
}

const digits = (value: number, length: number): string => String(Math.floor(value)).padStart(length, '0');
