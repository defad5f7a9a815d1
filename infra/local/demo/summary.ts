/**
 * The end of the demo: what was bought, what it cost, what was found, how it was verified.
 * Promise: the same facts for people and as data.
 */
import type { Life } from './life.ts';
import type { Narrator } from './narrator.ts';
import { msOf, reasonWord, timeText, usd } from './text.ts';

const iso = (ms: number): string | null => (Number.isNaN(ms) ? null : new Date(ms).toISOString());

/** Amounts are micro-USD; times RFC 3339 UTC. */
export function lifeRecord(life: Life) {
  const { sandbox, balance, verification, work } = life;
  return {
    wallet: life.wallet,
    job_id: life.job.id,
    sandbox_id: sandbox.id,
    quantum_ms: Number(sandbox.quantumMs),
    minutes_sold: Number(sandbox.minutesSold),
    price_micros_per_minute: Number(sandbox.priceMicrosPerMinute),
    deposited_micros: Number(balance.depositedMicros),
    spent_micros: Number(balance.spentMicros),
    refunded_micros: Number(sandbox.refundedMicros),
    balance_micros: Number(balance.balanceMicros),
    stop_reason: reasonWord(sandbox.stopReason),
    paid_until: iso(msOf(sandbox.paidUntil)),
    stopped_at: iso(msOf(sandbox.stoppedAt)),
    last_tick_at: life.ticker.lastTickMs === undefined ? null : iso(life.ticker.lastTickMs),
    isolation: sandbox.isolation,
    receipts: verification.report.receipts,
    export: life.export,
    verified: verification.report.ok,
    tampering_noticed: !verification.tampered.ok,
    report: work?.report ?? null,
    found: work?.totals ?? null,
    failures: life.failures,
  };
}

export function printSummary(life: Life, say: Narrator): void {
  const { sandbox, balance, verification, work, ticker } = life;
  say.chapter('Summary');
  say.line(
    `bought    ${sandbox.minutesSold} minutes of ${sandbox.quantumMs} ms on a machine of isolation level ${sandbox.isolation}`,
  );
  say.line(
    `cost      ${usd(balance.spentMicros)} of ${usd(balance.depositedMicros)}; refunded ${usd(sandbox.refundedMicros)}; left ${usd(balance.balanceMicros)}`,
  );
  say.line(
    `stopped   ${reasonWord(sandbox.stopReason)} at ${timeText(sandbox.stoppedAt)}, paid until ${timeText(sandbox.paidUntil)}, last tick ${timeText(ticker.lastTickMs)}`,
  );
  if (work) {
    const { packages, licences, with_install_scripts, duplicate_versions, secret_like_files } = work.totals;
    say.line(
      `found     ${packages} packages, ${licences} licences, ${with_install_scripts} with install scripts, ${duplicate_versions} duplicated, ${secret_like_files} files like secrets`,
    );
    say.line(`report    ${work.report}`);
  }
  say.line(`verified  ${verification.report.receipts} receipts offline; the export is ${life.export}`);
  for (const failure of life.failures) say.bad(`does not hold: ${failure}`);
  if (life.failures.length === 0) say.good('every claim above was checked and holds');
}
