/**
 * From a name to a connection: looked up here, every address checked, and exactly a checked one connected to.
 * Promise: no address that is refused is ever dialled, whatever a name's server answers and however often it is asked.
 */
import { Resolver } from 'node:dns/promises';
import { createConnection, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import {
  type Address,
  type AddressRange,
  formatAddress,
  isInRange,
  METADATA,
  parseAddress,
  parseRange,
  refusedReason,
  unmapped,
} from '@tallystick/kernel/egress';
import { refused } from './fault.ts';

const LOOKUP_MS_MAX = 2_000;
const LOOKUP_TRIES = 2;
const CONNECT_MS_MAX = 5_000;
/** Of one name's addresses so many are tried, one after another. */
const ADDRESSES_TRIED_MAX = 3;
const ADDRESSES_READ_MAX = 64;
const KEEP_ALIVE_MS = 60_000;
/** Of all sandboxes together, to their brokers: each costs the warden two descriptors at most. */
export const EGRESS_MACHINE_CONNECTIONS_MAX = 2_048;

/** What all sandboxes of a machine share on their way out. */
export interface EgressMachine {
  /** All addresses of a name, IPv4 first; empty when it has none or nobody knows. */
  lookup(host: string): Promise<string[]>;
  /** Why nobody is let out to this address; undefined when one may. */
  refusal(address: Address): string | undefined;
  /** A place for one more connection, to be given back once; undefined when the machine has no more. */
  takePlace(): (() => void) | undefined;
}

export interface EgressMachineOptions {
  /** Ranges that the operator opens although they are not of the internet. */
  openedRanges: readonly AddressRange[];
  /** `address` or `address:port`; absent: as the host's resolv.conf says. */
  resolver: string | undefined;
}

/** Comma-separated ranges. @errors throws Fault `bad_option` naming what is none. */
export function readOpenedRanges(text: string): AddressRange[] {
  return text.split(',').flatMap((one) => {
    const range = one.trim() === '' ? [] : parseRange(one.trim());
    if (!range) throw refused('bad_option', `--egress-private: an address range like 10.1.0.0/16, this is ${one}`);
    return range;
  });
}

/** A service that listens on all of the host's addresses is not for its tenants. */
function ownAddresses(): Set<string> {
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const parsed = own.map(({ address }) => parseAddress(address.split('%')[0] as string));
  return new Set(parsed.flatMap((address) => (address ? formatAddress(address) : [])));
}

export function egressMachine({ openedRanges, resolver }: EgressMachineOptions): EgressMachine {
  const dns = new Resolver({ timeout: LOOKUP_MS_MAX, tries: LOOKUP_TRIES });
  if (resolver !== undefined) setServer(dns, resolver);
  let places = EGRESS_MACHINE_CONNECTIONS_MAX;
  const isOpened = (address: Address): boolean => openedRanges.some((range) => isInRange(range, address));
  return {
    async lookup(host) {
      const answers = await Promise.all([dns.resolve4(host).catch(() => []), dns.resolve6(host).catch(() => [])]);
      return answers.flat().slice(0, ADDRESSES_READ_MAX);
    },
    refusal(address) {
      const plain = unmapped(address);
      const reason = refusedReason(plain) ?? (ownAddresses().has(formatAddress(plain)) ? 'own_machine' : undefined);
      return reason !== METADATA && isOpened(plain) ? undefined : reason;
    },
    takePlace() {
      if (places === 0) return undefined;
      places -= 1;
      return () => {
        places += 1;
      };
    },
  };
}

/** @errors throws Fault `bad_option`. */
function setServer(dns: Resolver, server: string): void {
  try {
    dns.setServers([server]);
  } catch {
    throw refused('bad_option', `--egress-resolver: an address, with a port if need be, this is ${server}`);
  }
}

/** Addresses that may be dialled, or why none may. */
export async function waysTo(host: string, machine: EgressMachine): Promise<string[] | { reason: string }> {
  const literal = parseAddress(host);
  const found = literal ? [host] : await machine.lookup(host);
  const addresses = found.flatMap((text) => parseAddress(text) ?? []);
  if (addresses.length === 0) return { reason: 'not_found' };
  const good = addresses.filter((address) => machine.refusal(address) === undefined);
  if (good.length > 0) return good.map((address) => formatAddress(unmapped(address))).slice(0, ADDRESSES_TRIED_MAX);
  return { reason: machine.refusal(addresses[0] as Address) as string };
}

/** Connects to exactly this address. @errors rejects with the system's fault or `timeout` */
export function dial(address: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host: address, port, allowHalfOpen: true, autoSelectFamily: false });
    const timer = setTimeout(() => socket.destroy(new Error('timeout')), CONNECT_MS_MAX);
    socket.once('error', reject);
    socket.once('close', () => clearTimeout(timer));
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.off('error', reject);
      socket.on('error', () => socket.destroy());
      socket.setNoDelay(true);
      socket.setKeepAlive(true, KEEP_ALIVE_MS);
      resolve(socket);
    });
  });
}
