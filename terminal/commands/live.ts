/**
 * `tally live`: events as they happen, one JSON value per line.
 * Promise: reconnects from the cursor, so nothing is missed or told twice; --after goes on where an earlier run ended.
 */

import { EventSchema, type LiveEvent, plain } from '@tallystick/sdk';
import type { Command } from 'commander';
import { write } from '../io.ts';
import { type PlainObject, printable } from '../output/render.ts';
import { UsageError } from '../text/usage-error.ts';
import { addCommand, count, given, onRun, type Run, type World } from './command.ts';

interface Options {
  after?: string;
  max?: number;
}

const CURSOR_MAX = 2n ** 64n - 1n;

export function addLiveCommand(program: Command, world: World): void {
  const command = addCommand(program, {
    usage: 'live',
    summary: 'follow what happens, as it happens, until interrupted',
    examples: [
      'tally live account',
      'tally live job/job_0192… --after 0',
      'tally live sandbox/sbx_0192… --json --max 10',
    ],
  })
    .argument('<topic>', 'account, job/<id>, sandbox/<id>, egress/<sandbox id> or exec/<sandbox id>/<exec id>')
    .option('--after <cursor>', 'begin after this cursor; 0: from the beginning (default: only what is new)')
    .option('--max <count>', 'end after this many events', count(1, 1_000_000_000));
  onRun<Options>(world, command, follow);
}

async function follow({ io, out, connect }: Run, [topic]: string[], { after, max }: Options): Promise<void> {
  const wishes = given({ after: after === undefined ? undefined : readCursor(after) });
  const tally = await connect();
  const stop = new AbortController();
  const release = io.onInterrupt(() => stop.abort());
  try {
    let seen = 0;
    for await (const event of tally.live.follow(topic!, { ...wishes, signal: stop.signal })) {
      const value = plain(EventSchema, event);
      await write(io.stdout, `${out.isJson ? JSON.stringify(value) : lineOf(event, value)}\n`);
      if (++seen === max) break;
    }
  } catch (fault) {
    if (!stop.signal.aborted) throw fault;
  } finally {
    release();
  }
}

function readCursor(text: string): bigint {
  if (!/^[0-9]{1,20}$/.test(text) || BigInt(text) > CURSOR_MAX)
    throw new UsageError(`${text} is no cursor.`, 'Write the cursor of the last event seen, or 0.');
  return BigInt(text);
}

function lineOf({ cursor, body }: LiveEvent, value: PlainObject): string {
  const at = value['at'] ?? '';
  switch (body.case) {
    case 'receipt': {
      const { stream, command, decision, events } = JSON.parse(body.value.body) as ReceiptBody;
      const what = decision.rejection ? `refused: ${decision.rejection}` : events.map((event) => event.type).join(', ');
      return printable(`${cursor}  ${at}  ${stream}  ${command.type}  ${what}`);
    }
    case 'output':
      return `${cursor}  ${printable(Buffer.from(body.value.bytes).toString('utf8').trimEnd())}`;
    default:
      return printable(`${cursor}  ${at}  ${JSON.stringify(value)}`);
  }
}

interface ReceiptBody {
  stream: string;
  command: { type: string };
  decision: { rejection: string | null };
  events: { type: string }[];
}
