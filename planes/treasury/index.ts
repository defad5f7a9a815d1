/**
 * The one door of the treasury plane: the platform's accounts and everybody's money.
 * Promise: nothing here reads a clock or the world.
 */
export { type AccountState, account } from './account.ts';
export { type LedgerState, ledger } from './ledger.ts';
