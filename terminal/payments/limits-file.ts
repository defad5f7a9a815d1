/**
 * What the wallet of this terminal may pay by itself, and where to.
 * Promise: a platform's payee is pinned when it is first seen; another one later is told, never taken over in silence.
 */
import { join } from 'node:path';
import { type Payee, payeeText, type SpendLimits } from '@tallystick/sdk';
import type { Io } from '../io.ts';
import { homeFolder } from '../session.ts';
import { UsageError } from '../text/usage-error.ts';
import { readPrivateFile, writePrivateFile } from '../wallet/private-files.ts';

/** As it stands in the file; payees as `eip155:8453/0xtoken/0xpayee`. */
export interface LimitsFile {
  per_payment_micros: string;
  per_day_micros: string;
  prefer: string | null;
  /** Allowed by name. */
  allow: string[];
  /** By the platform's address. */
  pinned: Record<string, string>;
}

/** Nothing without being asked. */
const NOTHING: LimitsFile = { per_payment_micros: '0', per_day_micros: '0', prefer: null, allow: [], pinned: {} };
const PAYEE = /^(eip155:[1-9][0-9]*)\/(0x[0-9a-f]{40})\/(0x[0-9a-f]{40})$/;

const limitsPath = (io: Io): string => join(homeFolder(io), 'limits.json');

/** Where intents are kept. */
export const paymentsFolder = (io: Io): string => join(homeFolder(io), 'payments');

/** @errors LooseFileError; UsageError for a file that is no JSON */
export async function readLimits(io: Io): Promise<LimitsFile> {
  const text = await readPrivateFile(limitsPath(io));
  if (text === undefined) return NOTHING;
  try {
    const file = { ...NOTHING, ...(JSON.parse(text) as Partial<LimitsFile>) };
    limitsOf(file, '');
    return file;
  } catch {
    throw new UsageError(
      `${limitsPath(io)} is not what tally wrote.`,
      'Nothing is paid by it. Remove it and set limits again.',
    );
  }
}

export const writeLimits = (io: Io, limits: LimitsFile): Promise<void> =>
  writePrivateFile(limitsPath(io), `${JSON.stringify(limits, null, 2)}\n`);

/** @errors UsageError */
export function parsePayee(text: string): Payee {
  const [, network, asset, payTo] = PAYEE.exec(text.toLowerCase()) ?? [];
  if (network && asset && payTo) return { network, asset, payTo };
  throw new UsageError(`${text} is no payee.`, 'Write network/token/payee: eip155:8453/0x…/0x….');
}

/** What counts at this platform. */
export function limitsOf(file: LimitsFile, url: string): SpendLimits {
  const { allow, pinned, prefer } = file;
  const named = Object.hasOwn(pinned, url) ? [...allow, pinned[url]!] : allow;
  return {
    perPaymentMicros: BigInt(file.per_payment_micros),
    perDayMicros: BigInt(file.per_day_micros),
    allow: named.map(parsePayee),
    ...(prefer === null ? {} : { prefer }),
  };
}

/** `isAgain` replaces what was pinned before. Resolves with what is pinned now. */
export async function pinPayee(io: Io, url: string, payee: Payee, isAgain = false): Promise<string> {
  const file = await readLimits(io);
  const known = Object.hasOwn(file.pinned, url) ? file.pinned[url] : undefined;
  if (known !== undefined && !isAgain) return known;
  const text = payeeText(payee);
  await writeLimits(io, { ...file, pinned: { ...file.pinned, [url]: text } });
  return text;
}
