/**
 * The books of an export: what only the sum of all receipts can show.
 * Promise: money is conserved, and what a user deposited is the balance that is left, the minutes that were sold and what was withdrawn.
 */
import {
  isDepositSource,
  type Receipt,
  SUSPENSE,
  userAccount,
  type World,
  withdrawalAccount,
} from '@tallystick/kernel';

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
  /** On its way out or gone, net of what came back, as postings say. */
  withdrawnMicros: bigint;
}

const USER = userAccount('');
const WITHDRAWAL = withdrawalAccount('');
/** It only passes on what was claimed. */
const NOBODY = userAccount(SUSPENSE);

export function createBookCheck(world: World): BookCheck {
  const users = new Map<string, User>();
  const userOf = (account: string): User => {
    const known = users.get(account) ?? { depositedMicros: 0n, spentMicros: 0n, withdrawnMicros: 0n };
    users.set(account, known);
    return known;
  };
  return {
    enter(receipt) {
      for (const { kind, debit, credit, amount_micros } of receipt.postings) {
        if (kind !== 'posted' && kind !== 'post') continue;
        const [micros, isToUser] = [BigInt(amount_micros), credit.startsWith(USER)];
        if (isToUser && isDepositSource(debit)) userOf(credit).depositedMicros += micros;
        if (isToUser && debit.startsWith(WITHDRAWAL)) userOf(credit).withdrawnMicros -= micros;
        if (debit.startsWith(USER) && credit.startsWith(WITHDRAWAL)) userOf(debit).withdrawnMicros += micros;
      }
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

function judgeUser(world: World, account: string, user: User): BookFinding[] {
  const { depositedMicros, spentMicros, withdrawnMicros } = user;
  const findings: BookFinding[] = [];
  if (account === NOBODY) return findings;
  const stream = `account:${account.slice(USER.length)}`;
  const known = world.ledger.accounts.get(account);
  const balanceMicros = known ? known.creditsMicros - known.debitsMicros : 0n;
  if (depositedMicros !== balanceMicros + spentMicros + withdrawnMicros)
    findings.push({
      stream,
      what: `deposited ${depositedMicros}, but balance ${balanceMicros} and spent ${spentMicros} and withdrawn ${withdrawnMicros}`,
    });
  const said = world.streams.get(stream)?.state['deposited_micros'];
  if (said !== undefined && String(said) !== String(depositedMicros))
    findings.push({ stream, what: `the stream says ${said} deposited, postings say ${depositedMicros}` });
  return findings;
}
