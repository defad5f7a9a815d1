/**
 * Single paths of a sandbox: looked at, made, moved and removed by its guest.
 * Promise: no path is opened on the host, and a change that is asked for twice under one name happens once.
 */
import type { IncomingMessage } from 'node:http';
import type { JsonObject } from '@tallystick/kernel';
import { Fault, refused } from './fault.ts';
import { endOf, openCall, readEntry, textOf } from './files.ts';
import type { GuestLink, Verb } from './guest-link.ts';
import * as read from './request.ts';

/** Changes of one sandbox whose outcome is remembered for who asks again. */
export const CHANGES_KEPT_MAX = 1_024;
/** Names, modes and a link's target, with every character escaped. */
const STATUS_BYTES_MAX = 64 * 1024;
const LINK_TARGET_CHARS_MAX = 4_096;
const SHA256 = /^[0-9a-f]{64}$/;

const changesOf = new WeakMap<GuestLink, Map<string, Promise<object>>>();

/** The first outcome again, also when it was a refusal. */
function once(link: GuestLink, id: string, change: () => Promise<object>): Promise<object> {
  const changes = changesOf.get(link) ?? new Map<string, Promise<object>>();
  changesOf.set(link, changes);
  const known = changes.get(id);
  if (known) return known;
  const made = change();
  made.catch(() => undefined);
  changes.set(id, made);
  if (changes.size > CHANGES_KEPT_MAX) changes.delete(changes.keys().next().value as string);
  return made;
}

function parsed(text: string): Record<string, unknown> {
  try {
    const value = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // told below
  }
  throw refused('file_fault', 'the sandbox gave no status');
}

/** What stands at the path; members are copied one by one. */
export async function statPath(link: GuestLink, path: string, digest: boolean): Promise<object> {
  const said = parsed(await textOf(link, 'stat', { path, digest }, STATUS_BYTES_MAX));
  const { name: _, ...status } = readEntry({ ...said, name: '' });
  const target = said['target'];
  const sha256 = said['sha256'];
  return {
    path,
    ...status,
    target: typeof target === 'string' ? target.slice(0, LINK_TARGET_CHARS_MAX) : null,
    sha256: typeof sha256 === 'string' && SHA256.test(sha256) ? sha256 : null,
  };
}

const CHANGES = {
  mkdir: { path: read.isPath, parents: read.isFlag },
  move: { path: read.isPath, to: read.isPath, overwrite: read.isFlag },
  remove: { path: read.isPath, recursive: read.isFlag },
} satisfies Record<string, Record<string, read.Check>>;

/** @errors rejects with Fault: `invalid`, or the guest's own word for why not */
export async function changePath(
  link: () => GuestLink,
  verb: keyof typeof CHANGES,
  request: IncomingMessage,
): Promise<object> {
  const body = await read.readJson(request);
  read.checkMembers(body, { change_id: read.isName, ...CHANGES[verb] });
  const { change_id: id, ...asked } = body;
  const there = link();
  return once(there, id as string, () => change(there, verb, asked));
}

async function change(link: GuestLink, verb: Verb, asked: JsonObject): Promise<object> {
  const { entries } = await endOfCall(link, verb, asked);
  if (!Number.isSafeInteger(entries)) throw new Fault('refused', 'file_fault', 'the sandbox did not say what it did');
  return { entries };
}

async function endOfCall(link: GuestLink, verb: Verb, asked: JsonObject): Promise<Record<string, unknown>> {
  return endOf(await openCall(link, verb, asked, {}).outcome);
}
