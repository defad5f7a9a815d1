/**
 * Where a command's answer goes: text for people, or one JSON value for programs.
 * Promise: with --json standard output holds JSON and nothing else; colours appear on a terminal only.
 */
import pico from 'picocolors';
import { type Io, write } from '../io.ts';
import { type Colours, type Column, type PlainObject, recordText, tableText } from './render.ts';

export interface Out {
  isJson: boolean;
  colours: Colours;
  /** One value. */
  record(value: PlainObject): Promise<void>;
  /** Many values under one name, e.g. `jobs`. */
  list(name: string, values: PlainObject[], columns: Column[]): Promise<void>;
  /** A value for programs with its own words for people. */
  say(value: PlainObject, text: string): Promise<void>;
  /** Words for people beside the answer. */
  note(text: string): Promise<void>;
}

const wantsColour = (io: Io, stream: { isTTY?: boolean }): boolean =>
  stream.isTTY === true && !io.env['NO_COLOR'] && io.env['TERM'] !== 'dumb';

export const coloursFor = (io: Io, stream: { isTTY?: boolean }): Colours => pico.createColors(wantsColour(io, stream));

export function createOut(io: Io, isJson: boolean): Out {
  const colours = coloursFor(io, io.stdout);
  const line = (text: string): Promise<void> => write(io.stdout, `${text}\n`);
  const json = (value: PlainObject): Promise<void> => line(JSON.stringify(value));
  return {
    isJson,
    colours,
    record: (value) => (isJson ? json(value) : line(recordText(value, colours))),
    list: (name, values, columns) => {
      if (isJson) return json({ [name]: values });
      return values.length === 0 ? write(io.stderr, `no ${name}\n`) : line(tableText(columns, values, colours));
    },
    say: (value, text) => (isJson ? json(value) : line(text)),
    note: (text) => write(io.stderr, `${text}\n`),
  };
}
