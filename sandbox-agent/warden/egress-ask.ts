/**
 * What a program inside may say to the proxy, read into one target: CONNECT, a request with an absolute address, SOCKS 5.
 * Promise: a target is a name or an address in its one spelling; whatever can be read in two ways is none.
 */
import type { Duplex } from 'node:stream';
import { type EgressTarget, formatAddress, isHostName, parseAddress } from '@tallystick/kernel/egress';

const PORT_MAX = 65_535;
const HTTP_PORT = 80;
const AUTHORITY = /^(\[[0-9a-fA-F:.]+\]|[^\s@/?#[\]:]+):([0-9]{1,5})$/;
const ABSOLUTE = /^http:\/\/([^/?#]*)([^#]*)/i;

/** A name in lower case without a final dot, or an address; undefined for anything else. */
function hostOf(text: string): string | undefined {
  const address = parseAddress(text.replace(/^\[|\]$/g, ''));
  if (address) return formatAddress(address);
  const name = text.toLowerCase().replace(/\.$/, '');
  return isHostName(name) ? name : undefined;
}

function targetOf(host: string, port: number): EgressTarget | undefined {
  const name = hostOf(host);
  return name !== undefined && port >= 1 && port <= PORT_MAX ? { host: name, port } : undefined;
}

/** `host:port`, as CONNECT has it. */
export function targetOfAuthority(text: string): EgressTarget | undefined {
  const [, host, port] = AUTHORITY.exec(text) ?? [];
  return host === undefined ? undefined : targetOf(host, Number(port));
}

export interface AbsoluteTarget extends EgressTarget {
  /** What the target's own server is asked for. */
  path: string;
  /** For the Host header. */
  authority: string;
}

/** `http://host[:port]/path`, as a proxy is asked for it. Names and passwords in an address are no target. */
export function targetOfUrl(url: string): AbsoluteTarget | undefined {
  const [, authority = '', rest = ''] = ABSOLUTE.exec(url) ?? [];
  const hasPort = /:[0-9]+$/.test(authority) && !authority.endsWith(']');
  const target = targetOfAuthority(hasPort ? authority : `${authority}:${HTTP_PORT}`);
  return target && { ...target, path: rest.startsWith('/') ? rest : `/${rest}`, authority };
}

const SOCKS_VERSION = 5;
const NO_AUTHENTICATION = 0;
const NO_METHOD = 0xff;
const CONNECT = 1;
const KIND_V4 = 1;
const KIND_NAME = 3;
const KIND_V6 = 4;
const ADDRESS_BYTES: Record<number, number> = { [KIND_V4]: 4, [KIND_V6]: 16 };

/** What SOCKS calls the ends of a request. */
export const SocksReply = { granted: 0, failed: 1, denied: 2, unreachable: 4, unknown_command: 7 } as const;
export type SocksReply = (typeof SocksReply)[keyof typeof SocksReply];

/** The first byte of a connection tells the two languages apart. */
export const isSocks = (first: Buffer): boolean => first[0] === SOCKS_VERSION;

export function socksAnswer(reply: SocksReply): Buffer {
  return Buffer.from([SOCKS_VERSION, reply, 0, KIND_V4, 0, 0, 0, 0, 0, 0]);
}

/** Reads exact numbers of bytes; what was read beyond them goes back with `release`. */
interface Taker {
  /** Undefined when the stream ends before. */
  take(bytes: number): Promise<Buffer | undefined>;
  release(): void;
}

function takerOf(stream: Duplex): Taker {
  let kept = Buffer.alloc(0);
  let isOver = false;
  let wake = (): void => {};
  const keep = (chunk: Buffer): void => {
    kept = Buffer.concat([kept, chunk]);
    stream.pause();
    wake();
  };
  const over = (): void => {
    isOver = true;
    wake();
  };
  stream.on('data', keep).on('end', over).on('close', over);
  stream.pause();
  return {
    async take(bytes) {
      while (kept.length < bytes) {
        if (isOver) return undefined;
        const more = new Promise<void>((resolve) => {
          wake = resolve;
        });
        stream.resume();
        await more;
      }
      const taken = kept.subarray(0, bytes);
      kept = kept.subarray(bytes);
      return taken;
    },
    release() {
      stream.off('data', keep).off('end', over).off('close', over);
      if (kept.length > 0) stream.unshift(kept);
    },
  };
}

async function takeAddress({ take }: Taker, kind: number): Promise<string | undefined> {
  if (kind === KIND_NAME) {
    const length = (await take(1))?.[0];
    return length ? (await take(length))?.toString('latin1') : undefined;
  }
  const bytes = ADDRESS_BYTES[kind] === undefined ? undefined : await take(ADDRESS_BYTES[kind]);
  if (!bytes) return undefined;
  const family = kind === KIND_V4 ? 4 : 6;
  return formatAddress({ family, value: BigInt(`0x${bytes.toString('hex')}`) });
}

/** Agrees on no authentication and reads the request; a reply when it is none that can be granted, undefined for garbage. */
export async function readSocks(stream: Duplex): Promise<EgressTarget | SocksReply | undefined> {
  const taker = takerOf(stream);
  try {
    return await readRequest(taker, (bytes) => void stream.write(Buffer.from(bytes)));
  } finally {
    taker.release();
  }
}

async function readRequest(taker: Taker, answer: (bytes: number[]) => void) {
  const { take } = taker;
  const [, count = 0] = (await take(2)) ?? [];
  const methods = count > 0 ? await take(count) : undefined;
  if (!methods) return undefined;
  const isOpen = methods.includes(NO_AUTHENTICATION);
  answer([SOCKS_VERSION, isOpen ? NO_AUTHENTICATION : NO_METHOD]);
  const head = isOpen ? await take(4) : undefined;
  if (head?.[0] !== SOCKS_VERSION) return undefined;
  const host = await takeAddress(taker, head[3] as number);
  const port = host === undefined ? undefined : (await take(2))?.readUInt16BE(0);
  if (host === undefined || port === undefined) return undefined;
  if (head[1] !== CONNECT) return SocksReply.unknown_command;
  return targetOf(host, port) ?? SocksReply.failed;
}
