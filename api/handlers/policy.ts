/**
 * What the policy allows its caller, and what of it is used.
 * Promise: the tier and the accounts are those that the rules decide with; nothing is counted here.
 */
import { type Engine, readBalances, readStream } from '@tallystick/engine';
import { type Allowance, allowanceOf, type Tier } from '@tallystick/hosting';
import { standing } from '@tallystick/identity';
import {
  dayOf,
  daySpentAccount,
  monthOf,
  monthOutAccount,
  quotaLeft,
  type Standing,
  standingStream,
  userRunningAccount,
  userSnapshotsAccount,
  userStoredAccount,
} from '@tallystick/kernel';
import { POLICY } from '@tallystick/planes';
import { PolicyService } from '@tallystick/proto';
import { implement } from '@tallystick/surface';
import { PAYOUT_POLICY, payoutAllowanceOf } from '@tallystick/treasury';
import { tierOf } from '../views/tier.ts';

/** Of withdrawals, as the chain's settings have it. */
export interface PayoutTerms {
  minMicros: bigint;
  reserveMicros: bigint;
}

export const policyHandlers = (engine: Engine, terms: PayoutTerms) =>
  implement(PolicyService, {
    async getPolicy(_request, call) {
      const principal = call.principal!.id;
      const head = await readStream(engine, standingStream(principal));
      const stands = (head?.state as unknown as Standing | undefined) ?? standing.initial;
      const allowance = allowanceOf(stands);
      return {
        principal,
        policyVersion: POLICY.version,
        policyHash: POLICY.hash,
        tier: tierOf(allowance.tierName),
        suspended: allowance.suspendedFor !== undefined,
        reason: allowance.suspendedFor ?? '',
        caps: { ...capsOf(allowance.tier), ...payoutCapsOf(stands, terms) },
        use: { ...(await useOf(engine, principal, allowance)), ...(await payoutUseOf(engine, principal, stands)) },
      };
    },
  });

const capsOf = (tier: Tier) => ({
  spendMicrosPerJobMax: BigInt(tier.spend_micros_per_job_max),
  spendMicrosPerDayMax: BigInt(tier.spend_micros_per_day_max),
  ttlMsDefault: BigInt(tier.ttl_ms_default),
  ttlMsMax: BigInt(tier.ttl_ms_max),
  sandboxesMax: tier.sandboxes_max,
  sandboxesPerJobMax: tier.sandboxes_per_job_max,
  cpuMillisMax: tier.cpu_millis_max,
  ramMibMax: tier.ram_mib_max,
  diskMibMax: tier.disk_mib_max,
  quantumMsMin: BigInt(tier.quantum_ms_min),
  quantumMsMax: BigInt(tier.quantum_ms_max),
  portsMax: tier.ports_max,
  egress: tier.egress,
  isolation: tier.isolation,
  snapshotsMax: tier.snapshots_max,
  snapshotBytesMax: BigInt(tier.snapshot_bytes_max),
  snapshotTtlMsMax: BigInt(tier.snapshot_ttl_ms_max),
});

const payoutCapsOf = (stands: Standing, { minMicros, reserveMicros }: PayoutTerms) => {
  const { tier } = payoutAllowanceOf(stands);
  return {
    withdrawMicrosPerMonthMax: BigInt(tier.withdraw_micros_per_month_max),
    withdrawReserveMicros: greater(BigInt(tier.withdraw_reserve_micros), reserveMicros),
    withdrawMicrosMin: greater(BigInt(PAYOUT_POLICY.withdraw_micros_min), minMicros),
    withdrawalsOpenMax: tier.withdrawals_open_max,
    withdrawalsPerDayMax: tier.withdrawals_per_day_max,
    payoutAddressDelayMs: BigInt(PAYOUT_POLICY.payout_address_delay_ms),
  };
};

const greater = (a: bigint, b: bigint): bigint => (a > b ? a : b);

async function payoutUseOf(engine: Engine, principal: string, stands: Standing) {
  const month = monthOf(engine.nowUs());
  const [row] = await readBalances(engine, [monthOutAccount(principal, month)]);
  const withdrawnThisMonthMicros = row?.availableMicros ?? 0n;
  const cap = BigInt(payoutAllowanceOf(stands).tier.withdraw_micros_per_month_max);
  return { month, withdrawnThisMonthMicros, leftToWithdrawMicros: quotaLeft(cap, withdrawnThisMonthMicros) };
}

async function useOf(engine: Engine, principal: string, { tier }: Allowance) {
  const day = dayOf(engine.nowUs());
  const kept = [userSnapshotsAccount(principal), userStoredAccount(principal)];
  const accounts = [daySpentAccount(principal, day), userRunningAccount(principal), ...kept];
  const rows = await readBalances(engine, accounts);
  const [spent, running, snapshots, stored] = accounts.map(
    (name) => rows.find(({ account }) => account === name)?.availableMicros ?? 0n,
  );
  return {
    day,
    spentTodayMicros: spent!,
    leftTodayMicros: quotaLeft(BigInt(tier.spend_micros_per_day_max), spent!),
    sandboxesRunning: Number(running),
    sandboxesLeft: Number(quotaLeft(BigInt(tier.sandboxes_max), running!)),
    snapshots: Number(snapshots),
    snapshotBytes: stored!,
  };
}
