/**
 * The ledger's arithmetic in memory, for tests, the simulator and the verifier; the database enforces the same rules.
 * Promise: what one receipt posts is applied whole or, when a rule of the ledger refuses any of it, not at all.
 */
import type { Asset, HoldRef, NewAccount, Posting } from './decider.ts';

export interface LedgerAccount {
  asset: Asset;
  noOverdraft: boolean;
  /** Opened by a receipt; false: only named by a posting of a log that is known in part. */
  isOpen: boolean;
  debitsMicros: bigint;
  creditsMicros: bigint;
  debitsHeldMicros: bigint;
  creditsHeldMicros: bigint;
}

interface Hold {
  asset: Asset;
  debit: string;
  credit: string;
  amountMicros: bigint;
  expiresUs: bigint | undefined;
  isResolved: boolean;
}

export interface Ledger {
  readonly accounts: Map<string, LedgerAccount>;
  /** By `<pos>.<ord>`. */
  readonly holds: Map<string, Hold>;
}

/** What one receipt does to the ledger. */
export interface Entry {
  pos: number;
  atUs: bigint;
  opens: readonly NewAccount[];
  postings: readonly Posting[];
}

/** `pointer` is within {accounts, postings}, as in a receipt. */
export interface LedgerRefusal {
  pointer: string;
  problem: string;
}

interface Draft {
  readonly ledger: Ledger;
  readonly accounts: Map<string, LedgerAccount>;
  readonly holds: Map<string, Hold>;
  readonly isWhole: boolean;
}

export const emptyLedger = (): Ledger => ({ accounts: new Map(), holds: new Map() });

/** Credits minus debits minus holds on the debit side; undefined for an account that nobody opened. */
export function availableIn(ledger: Ledger, account: string): bigint | undefined {
  const found = ledger.accounts.get(account);
  return found?.isOpen ? available(found) : undefined;
}

/**
 * Applies an entry. Returns why it is refused, empty when it was applied.
 * With `isWhole` false the log is known in part: postings may name accounts and holds that were never seen.
 */
export function post(ledger: Ledger, entry: Entry, isWhole = true): LedgerRefusal[] {
  const draft: Draft = { ledger, accounts: new Map(), holds: new Map(), isWhole };
  const refusals: LedgerRefusal[] = [];
  const refuse = (pointer: string, problem: string | undefined): void => {
    if (problem !== undefined) refusals.push({ pointer, problem });
  };
  entry.opens.forEach((account, i) => {
    refuse(`/accounts/${i}`, open(draft, account));
  });
  entry.postings.forEach((posting, ord) => {
    refuse(`/postings/${ord}`, move(draft, posting, { pos: entry.pos, ord }, entry.atUs));
  });
  for (const [name, account] of draft.accounts)
    if (account.noOverdraft && available(account) < 0n)
      refuse('/postings', `${name} is overdrawn by ${-available(account)}`);
  if (refusals.length > 0) return refusals;
  for (const [name, account] of draft.accounts) ledger.accounts.set(name, account);
  for (const [name, hold] of draft.holds) ledger.holds.set(name, hold);
  return [];
}

/** Per asset the sum of credits minus debits over all accounts; zero when nothing was lost or made. */
export function trialBalance(ledger: Ledger): Map<Asset, bigint> {
  const sums = new Map<Asset, bigint>();
  for (const { asset, creditsMicros, debitsMicros } of ledger.accounts.values())
    sums.set(asset, (sums.get(asset) ?? 0n) + creditsMicros - debitsMicros);
  return sums;
}

const available = (account: LedgerAccount): bigint =>
  account.creditsMicros - account.debitsMicros - account.debitsHeldMicros;

const holdName = ({ pos, ord }: HoldRef): string => `${pos}.${ord}`;

function open(draft: Draft, { account, asset, noOverdraft }: NewAccount): string | undefined {
  const before = accountIn(draft, account);
  if (before?.isOpen) return `${account} is already open`;
  if (before && before.asset !== asset) return `${account} was used with ${before.asset}`;
  draft.accounts.set(account, { ...(before ?? emptyAccount(asset)), noOverdraft, isOpen: true });
  return undefined;
}

function move(draft: Draft, posting: Posting, place: HoldRef, atUs: bigint): string | undefined {
  const kind = posting.kind ?? 'posted';
  const problem =
    malformed(posting, kind) ?? unusable(draft, posting.debit, posting) ?? unusable(draft, posting.credit, posting);
  if (problem) return problem;
  if (kind === 'posted') return shift(draft, posting, posting.amountMicros, 0n);
  if (kind === 'pending') {
    const { asset, debit, credit, amountMicros, expiresUs } = posting;
    draft.holds.set(holdName(place), { asset, debit, credit, amountMicros, expiresUs, isResolved: false });
    return shift(draft, posting, 0n, amountMicros);
  }
  return resolve(draft, posting, kind, atUs);
}

function resolve(draft: Draft, posting: Posting, kind: 'post' | 'void', atUs: bigint): string | undefined {
  const name = holdName(posting.hold!);
  const hold = draft.holds.get(name) ?? draft.ledger.holds.get(name);
  if (!hold) return draft.isWhole ? `there is no hold ${name}` : shift(draft, posting, posting.amountMicros, 0n);
  if (hold.isResolved) return `the hold ${name} is resolved already`;
  if (hold.asset !== posting.asset || hold.debit !== posting.debit || hold.credit !== posting.credit)
    return `the hold ${name} is between other accounts`;
  if (posting.amountMicros > hold.amountMicros)
    return `the hold ${name} has ${hold.amountMicros}, asked ${posting.amountMicros}`;
  if (kind === 'post' && hold.expiresUs !== undefined && atUs >= hold.expiresUs) return `the hold ${name} has expired`;
  draft.holds.set(name, { ...hold, isResolved: true });
  return shift(draft, posting, posting.amountMicros, -hold.amountMicros);
}

function malformed({ amountMicros, debit, credit, hold, expiresUs }: Posting, kind: string): string | undefined {
  const isResolution = kind === 'post' || kind === 'void';
  if (kind === 'void' ? amountMicros !== 0n : amountMicros <= 0n)
    return `${amountMicros} is no amount of a ${kind} posting`;
  if (debit === credit) return `${debit} cannot pay itself`;
  if (isResolution !== (hold !== undefined)) return `a ${kind} posting ${isResolution ? 'needs' : 'has no'} hold`;
  return expiresUs !== undefined && kind !== 'pending' ? `a ${kind} posting does not expire` : undefined;
}

function unusable(draft: Draft, name: string, { asset }: Posting): string | undefined {
  const account = accountIn(draft, name);
  if (!account && draft.isWhole) return `the account ${name} is not open`;
  return account && account.asset !== asset ? `the account ${name} holds ${account.asset}, not ${asset}` : undefined;
}

function shift(draft: Draft, { debit, credit, asset }: Posting, movedMicros: bigint, heldMicros: bigint): undefined {
  const payer = accountIn(draft, debit) ?? emptyAccount(asset);
  draft.accounts.set(debit, {
    ...payer,
    debitsMicros: payer.debitsMicros + movedMicros,
    debitsHeldMicros: payer.debitsHeldMicros + heldMicros,
  });
  const payee = accountIn(draft, credit) ?? emptyAccount(asset);
  draft.accounts.set(credit, {
    ...payee,
    creditsMicros: payee.creditsMicros + movedMicros,
    creditsHeldMicros: payee.creditsHeldMicros + heldMicros,
  });
}

const accountIn = (draft: Draft, name: string): LedgerAccount | undefined =>
  draft.accounts.get(name) ?? draft.ledger.accounts.get(name);

const emptyAccount = (asset: Asset): LedgerAccount => ({
  asset,
  noOverdraft: false,
  isOpen: false,
  debitsMicros: 0n,
  creditsMicros: 0n,
  debitsHeldMicros: 0n,
  creditsHeldMicros: 0n,
});
