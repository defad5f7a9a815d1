/**
 * Names of ledger accounts.
 * Promise: their one home; whoever posts, reads or verifies spells an account through here.
 */

/** Where credited money comes from; may be overdrawn by what all deposits ever were. */
export const WORLD_DEPOSITS = 'world:deposits';
/** Grants permission to spend. */
export const CAP_ISSUER = 'cap:issuer';
/** Takes permission that was used up, and gives it back on a refund. */
export const CAP_SPENT = 'cap:spent';
/** Grants permission to run one more sandbox. */
export const SLOT_ISSUER = 'slot:issuer';
/** Holds one unit for every sandbox that has not ended. */
export const SLOT_RUNNING = 'slot:running';

/** A principal's money. */
export const userAccount = (principal: string): string => `user:${principal}`;
/** Paid for a sandbox's time, neither delivered nor refunded yet. */
export const escrowAccount = (sandbox: string): string => `escrow:${sandbox}`;
/** What a job may still spend. */
export const jobCapAccount = (job: string): string => `job-cap:${job}`;
/** What a sandbox may still spend. */
export const sandboxCapAccount = (sandbox: string): string => `sandbox-cap:${sandbox}`;
/** How many more sandboxes a job may run; counts, not micros. */
export const jobSlotAccount = (job: string): string => `job-slot:${job}`;
/** What a principal may still spend on that day; days are UTC, `yyyy-mm-dd`. */
export const dayCapAccount = (principal: string, day: string): string => `day-cap:${principal}:${day}`;
/** What a principal has spent on that day, net of what was given back. */
export const daySpentAccount = (principal: string, day: string): string => `day-spent:${principal}:${day}`;
/** How many more sandboxes a principal may run over all its jobs; counts, not micros. */
export const userSlotAccount = (principal: string): string => `user-slot:${principal}`;
/** Holds one unit for every sandbox of the principal that has not ended. */
export const userRunningAccount = (principal: string): string => `user-running:${principal}`;
/** How many more snapshots a principal may keep. */
export const userSnapshotSlotAccount = (principal: string): string => `user-snapshot-slot:${principal}`;
/** Holds one unit for every snapshot of the principal. */
export const userSnapshotsAccount = (principal: string): string => `user-snapshots:${principal}`;
/** How many more bytes of snapshots a principal may keep; counts bytes, not micros. */
export const userStoreAccount = (principal: string): string => `user-store:${principal}`;
/** Bytes that the principal's snapshots take. */
export const userStoredAccount = (principal: string): string => `user-stored:${principal}`;
/** What a provider has earned. */
export const providerAccount = (provider: string): string => `provider:${provider}`;
/** Marks a deposit as credited; never moves, exists once. */
export const depositAccount = (deposit: string): string => `deposit:${deposit}`;
/** Whose account holds deposits of nobody known; not a principal that anybody can log in as. */
export const SUSPENSE = 'suspense';
/** What is ours on a chain: in the treasury, or still at depositors' addresses. Its debits are what the chain says we have. */
export const chainAccount = (rail: string, part: 'treasury' | 'forwarders'): string => `chain:${rail}:${part}`;
/** Whether money that comes from there was deposited: by the world, on a chain, or by somebody who was not known yet. */
export const isDepositSource = (account: string): boolean =>
  account === WORLD_DEPOSITS || account.startsWith('chain:') || account === userAccount(SUSPENSE);
/** What the platform lost to deposits that a chain took back after they were credited. */
export const reorgLossAccount = (rail: string): string => `reorg-loss:${rail}`;
/** What of the treasury on a chain is the platform's own, as a person has said. */
export const ownFundsAccount = (rail: string): string => `own-funds:${rail}`;
/** Marks a payment by ERC-3009 as credited, in whichever transaction; never moves, exists once. */
export const paymentAccount = (rail: string, payer: string, nonce: string): string =>
  `payment:${rail}/${payer}/${nonce}`;
/** Marks a deposit of nobody known as claimed; never moves, exists once. */
export const claimAccount = (deposit: string): string => `claim:${deposit}`;
/** Marks a nonce of a signer on a chain as used; never moves, exists once. */
export const nonceAccount = (rail: string, signer: string, nonce: string): string => `nonce:${rail}/${signer}/${nonce}`;
/** What a payer has promised on a chain by payments that are bound and not over: a count of micros, not money. */
export const promisedAccount = (rail: string, payer: string): string => `promised:${rail}/${payer}`;
/** On its way out of a principal's account to a chain; empty once it arrived there or came back. */
export const withdrawalAccount = (withdrawal: string): string => `withdrawal:${withdrawal}`;
/** What a principal may still withdraw in that month; months are UTC, `yyyy-mm`. */
export const monthOutCapAccount = (principal: string, month: string): string => `month-out-cap:${principal}:${month}`;
/** What a principal has withdrawn in that month, net of what came back. */
export const monthOutAccount = (principal: string, month: string): string => `month-out:${principal}:${month}`;
/** How many more withdrawals a principal may have on their way; counts, not micros. */
export const openWithdrawalsLeftAccount = (principal: string): string => `withdrawals-left:${principal}`;
/** Holds one unit for every withdrawal of the principal that is on its way. */
export const openWithdrawalsAccount = (principal: string): string => `withdrawals-open:${principal}`;
/** How many more withdrawals a principal may ask for on that UTC day, `yyyy-mm-dd`. */
export const dayWithdrawalsLeftAccount = (principal: string, day: string): string =>
  `day-withdrawals-left:${principal}:${day}`;
/** How many withdrawals a principal has asked for on that day. */
export const dayWithdrawalsAccount = (principal: string, day: string): string => `day-withdrawals:${principal}:${day}`;
/** What a principal has on its way out, over all its withdrawals: a count of micros, not money. */
export const withdrawingAccount = (principal: string): string => `withdrawing:${principal}`;
/** What of a principal's money has left for good: a count of micros, not money. */
export const withdrawnAccount = (principal: string): string => `withdrawn:${principal}`;
