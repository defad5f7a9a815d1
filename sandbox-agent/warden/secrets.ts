/**
 * The secrets of one life of one sandbox: opened here, kept in memory, given to commands by name and to the tenant's memory disk.
 * Promise: a value is on the list of what no output may show before anything inside can have it, and is never written to disk.
 */
import { isUtf8 } from 'node:buffer';
import {
  NO_REDACTION,
  openSecret,
  type Redaction,
  type Redactor,
  redactionOf,
  redactor,
  type SealedSecret,
  type SealingKey,
} from '@tallystick/kernel/sealing';
import { Fault, refused } from './fault.ts';
import type { GuestLink } from './guest-link.ts';
import { SECRETS_FOLDER } from './image.ts';

/** Values that one life of a sandbox may be given, replaced ones included. */
export const SECRETS_MAX = 64;
export const SECRETS_BYTES_MAX = 64 * 1024;
const FILE_MODE = 0o400;
const FILE_MS_MAX = 10_000;

export interface SecretView {
  name: string;
  commitment: string;
  released_at_us: number;
}

interface Released extends SecretView {
  value: Buffer;
}

export interface SecretsPlace {
  sandbox: string;
  incarnation: number;
}

export class Secrets {
  readonly #place: SecretsPlace;
  readonly #released = new Map<string, Released>();
  /** Also values that newer ones have replaced: output may still hold them. */
  readonly #values: Buffer[] = [];
  /** A sealed message counts once: told again later, it must not bring an old value back. */
  readonly #taken = new Set<string>();
  #redaction: Redaction = NO_REDACTION;

  constructor(place: SecretsPlace) {
    this.#place = place;
  }

  list(): SecretView[] {
    return [...this.#released.values()].map(({ value: _, ...view }) => view);
  }

  /** For one stream of one command. */
  /** A text without released values. */
  mask(text: string): string {
    const clean = this.redactor();
    return Buffer.concat([clean.push(Buffer.from(text)), clean.end()]).toString();
  }

  redactor(): Redactor {
    return redactor(() => this.#redaction);
  }

  /**
   * All or none are taken. Repeating a message changes nothing.
   * @errors rejects with Fault `secret_not_opened`, `too_many_secrets`, `secret_not_stored` or `sandbox_lost`
   */
  async release(link: GuestLink, key: SealingKey, sealed: SealedSecret[], nowUs: number): Promise<void> {
    const fresh = sealed.filter((one) => !this.#taken.has(messageOf(one)));
    const opened = fresh.map((one) => ({ ...one, value: this.#open(key, one) }));
    this.#checkRoom(opened.map(({ value }) => value));
    this.#values.push(...opened.map(({ value }) => value));
    this.#redaction = redactionOf(this.#values);
    for (const { name, commitment, value, ...one } of opened) {
      await writeSecret(link, name, value);
      this.#taken.add(messageOf(one));
      this.#released.set(name, { name, commitment, released_at_us: nowUs, value });
    }
  }

  #open(key: SealingKey, sealed: SealedSecret): Buffer {
    const value = openSecret(key, { ...this.#place, name: sealed.name }, sealed);
    if (value) return value;
    const detail = `the value of ${sealed.name} was not sealed for this sandbox by the rules`;
    throw refused('secret_not_opened', detail, { name: sealed.name });
  }

  #checkRoom(more: Buffer[]): void {
    const bytes = [...this.#values, ...more].reduce((sum, value) => sum + value.length, 0);
    const rows = [
      ['secrets_max', SECRETS_MAX, this.#values.length + more.length],
      ['secrets_bytes_max', SECRETS_BYTES_MAX, bytes],
    ] as const;
    for (const [name, cap, asked] of rows)
      if (asked > cap) throw refused('too_many_secrets', `at most ${cap} (${name})`, { name, cap, asked });
  }

  /**
   * Environment for a command that names them; `isSensitive` alone asks for any.
   * @errors throws Fault `secrets_not_released` naming the missing ones, or `secret_not_text`
   */
  envFor(names: string[], isSensitive: boolean): Record<string, string> {
    const missing = names.filter((name) => !this.#released.has(name));
    if (missing.length > 0) throw notReleased(missing.join(' '));
    if (isSensitive && this.#released.size === 0) throw notReleased('*');
    return Object.fromEntries(names.map((name) => [name, textOf(this.#released.get(name) as Released)]));
  }

  /** At the end of the sandbox: the bytes go. */
  wipe(): void {
    for (const value of this.#values) value.fill(0);
    this.#values.length = 0;
    this.#released.clear();
    this.#redaction = NO_REDACTION;
  }
}

const messageOf = ({ sealed }: Pick<SealedSecret, 'sealed'>): string => sealed.toString('base64');

const notReleased = (missing: string): Fault =>
  refused('secrets_not_released', 'the command needs secrets that were not released to this sandbox', { missing });

function textOf({ name, value }: Released): string {
  if (isUtf8(value) && !value.includes(0)) return value.toString('utf8');
  throw refused('secret_not_text', `${name} is no text: read it from ${SECRETS_FOLDER}/${name}`, { name });
}

/** As the tenant's own file on its memory disk, whole or not at all. */
async function writeSecret(link: GuestLink, name: string, value: Buffer): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<Fault | undefined>();
  const failed = (cause: string): void =>
    resolve(refused('secret_not_stored', `the sandbox did not take ${name}`, { name, cause }));
  const request = { path: `${SECRETS_FOLDER}/${name}`, mode: FILE_MODE };
  const call = link.open('put', request, {
    onEnd: () => resolve(undefined),
    onFault: failed,
    onLost: () => resolve(new Fault('gone', 'sandbox_lost', 'the sandbox ended meanwhile')),
  });
  const timer = setTimeout(() => failed('no answer in time'), FILE_MS_MAX);
  void call.write(value).then(() => call.end());
  const fault = await promise;
  clearTimeout(timer);
  if (!fault) return;
  call.cancel();
  throw fault;
}
