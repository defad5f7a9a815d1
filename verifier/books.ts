/**
 * The books of an export: what only the sum of all receipts can show.
 * Promise: money is conserved, and what a user deposited is the balance that is left plus the minutes that were sold.
 */
import { isDepositSource, type Receipt, SUSPENSE, userAccount, type World } from '@tallystick/kernel';

export interface BookFinding {
  stream?: string;
  what: string;
}

export interface BookCheck {
  enter(receipt: Receipt): void;
  /** Findings after the last receipt; empty when the books are right. */
  judge(): BookFinding[];
}

interface User {
  /** As postings say. */
  depositedMicros: bigint;
  /** Prices of sold minutes less refunds, as events say. */
  spentMicros: bigint;
}

const USER = userAccount('');
/** It only passes on what was claimed. */
const NOBODY = userAccount(SUSPENSE);

export function createBookCheck(world: World): BookCheck {
  const users = new Map<string, User>();
  const userOf = (account: string): User => {
    const known = users.get(account) ?? { depositedMicros: 0n, spentMicros: 0n };
    users.set(account, known);
    return known;
  };
  return {
    enter(receipt) {
      for (const { kind, debit, credit, amount_micros } of receipt.postings)
        if (isDepositSource(debit) && credit.startsWith(USER) && (kind === 'posted' || kind === 'post'))
          userOf(credit).depositedMicros += BigInt(amount_micros);
      if (receipt.owner !== null) userOf(userAccount(receipt.owner)).spentMicros += spentIn(receipt);
    },
    judge: () => [...judgeAssets(world), ...[...users].flatMap(([account, user]) => judgeUser(world, account, user))],
  };
}

function spentIn({ events }: Receipt): bigint {
  let spentMicros = 0n;
  for (const { type, body } of events) {
    if (type === 'MinuteSold') spentMicros += BigInt(String(body['price_micros']));
    if (type === 'SandboxEnded') spentMicros -= BigInt(String(body['refunded_micros']));
  }
  return spentMicros;
}

const judgeAssets = (world: World): BookFinding[] =>
  [...world.trialBalance()]
    .filter(([, sum]) => sum !== 0n)
    .map(([asset, sum]) => ({ what: `the accounts of ${asset} sum to ${sum}, not to 0` }));

function judgeUser(world: World, account: string, { depositedMicros, spentMicros }: User): BookFinding[] {
  const findings: BookFinding[] = [];
  if (account === NOBODY) return findings;
  const stream = `account:${account.slice(USER.length)}`;
  const known = world.ledger.accounts.get(account);
  const balanceMicros = known ? known.creditsMicros - known.debitsMicros : 0n;
  if (depositedMicros !== balanceMicros + spentMicros)
    findings.push({
      stream,
      what: `deposited ${depositedMicros}, but balance ${balanceMicros} and spent ${spentMicros}`,
    });
  const said = world.streams.get(stream)?.state['deposited_micros'];
  if (said !== undefined && String(said) !== String(depositedMicros))
    findings.push({ stream, what: `the stream says ${said} deposited, postings say ${depositedMicros}` });
  return findings;
}
