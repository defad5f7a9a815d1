/**
 * Which command asks for which operation of the contracts: the column "command" of docs/reference/api.md.
 * Promise: a test holds every command to the real program, and every operation to a command or to a reason for having none.
 */
import type { Command } from 'commander';

/** `Service.Method` and the words after `tally`. The one that people meet first, where several commands ask for it. */
export const COMMAND_BY_OPERATION: Readonly<Record<string, string>> = {
  'AdminService.DrainProvider': 'admin drain',
  'AdminService.GetStanding': 'admin standing',
  'AdminService.KillProvider': 'admin kill',
  'AdminService.Reinstate': 'admin reinstate',
  'AdminService.ResumeProvider': 'admin resume',
  'AdminService.SetTier': 'admin tier',
  'AdminService.Suspend': 'admin suspend',
  'AuthService.CreateNonce': 'login',
  'AuthService.ListApiKeys': 'keys list',
  'AuthService.RevokeApiKey': 'keys revoke',
  'AuthService.VerifyLogin': 'login',
  'BillingService.CreateDevelopmentDeposit': 'deposit',
  'BillingService.GetBalance': 'balance',
  'DepositService.ClaimDeposit': 'deposits claim',
  'DepositService.CreateDepositAddress': 'deposits address',
  'DepositService.GetReserves': 'reserves',
  'DepositService.ListDeposits': 'deposits list',
  'EgressService.GetEgress': 'sandbox egress',
  'EgressService.SetEgress': 'sandbox egress',
  'ExecService.ExecSandbox': 'exec',
  'ExecService.GetExec': 'exec attach',
  'ExecService.ListExecs': 'exec list',
  'ExecService.ResizeExec': 'shell',
  'ExecService.SignalExec': 'exec',
  'ExecService.WriteExecStdin': 'shell',
  'FileService.DownloadFile': 'cp',
  'FileService.ListFiles': 'ls',
  'FileService.UploadFile': 'cp',
  'FundsService.ContributeFunds': 'admin contribute',
  'FundsService.RescanDeposits': 'admin rescan',
  'FundsService.WriteOffFunds': 'admin write-off',
  'JobService.CreateJob': 'job create',
  'JobService.ExtendJob': 'job extend',
  'JobService.GetJob': 'job get',
  'JobService.ListJobs': 'job list',
  'JobService.StopJob': 'job stop',
  'PathService.MakeDirectory': 'fs mkdir',
  'PathService.MovePath': 'fs mv',
  'PathService.RemovePath': 'fs rm',
  'PathService.StatPath': 'fs stat',
  'PolicyService.GetPolicy': 'policy',
  'PortService.ClosePort': 'port close',
  'PortService.ExposePort': 'port expose',
  'PortService.ListPorts': 'port list',
  'QuoteService.GetQuote': 'quotes get',
  'QuoteService.ListQuotes': 'quotes list',
  'QuoteService.TopUp': 'top-up',
  'ReceiptService.ExportReceipts': 'receipts export',
  'ReceiptService.GetReceipt': 'receipts get',
  'ReceiptService.ListReceipts': 'receipts list',
  'SandboxService.CreateSandbox': 'sandbox create',
  'SandboxService.DestroySandbox': 'sandbox destroy',
  'SandboxService.ExtendSandbox': 'sandbox extend',
  'SandboxService.GetSandbox': 'sandbox get',
  'SandboxService.ListSandboxes': 'sandbox list',
  'SandboxService.StopSandbox': 'sandbox stop',
  'SandboxService.TouchSandbox': 'sandbox touch',
  'SecretService.GetAttestation': 'sandbox attestation',
  'SecretService.ListSecrets': 'secret list',
  'SecretService.ReleaseSecrets': 'secret put',
  'SnapshotService.CreateSnapshot': 'snapshot create',
  'SnapshotService.DeleteSnapshot': 'snapshot delete',
  'SnapshotService.GetSnapshot': 'snapshot get',
  'SnapshotService.ListSnapshots': 'snapshot list',
  'WalletService.FundWallet': 'wallet fund',
  'WalletService.GetWallet': 'wallet balance',
  'WatchService.CloseWatch': 'fs watch',
  'WatchService.OpenWatch': 'fs watch',
  'WatchService.ReadWatch': 'fs watch',
  'WithdrawalService.CancelWithdrawal': 'withdrawals',
  'WithdrawalService.CreatePayoutAddress': 'payout-address prove',
  'WithdrawalService.CreatePayoutNonce': 'payout-address ask',
  'WithdrawalService.CreateWithdrawal': 'withdraw',
  'WithdrawalService.DeletePayoutAddress': 'payout-address revoke',
  'WithdrawalService.GetWithdrawal': 'withdrawals',
  'WithdrawalService.ListPayoutAddresses': 'payout-address list',
  'WithdrawalService.ListWithdrawals': 'withdrawals',
};

/** Operations without a command, each with its reason. */
export const OPERATIONS_WITHOUT_COMMAND: Readonly<Record<string, string>> = {
  'ReceiptService.GetCheckpoint':
    'for witnesses: an export holds the checkpoint that it ends with, and verify checks it',
  'ReceiptService.GetConsistencyProof': 'for witnesses, who compare two checkpoints over time',
};

/** Every command that does something, as the words after `tally`: `job create`. */
export function commandNames(program: Command): string[] {
  return program.commands
    .filter((command) => command.name() !== 'help')
    .flatMap((command) => {
      const below = commandNames(command).map((name) => `${command.name()} ${name}`);
      return isRunnable(command) ? [command.name(), ...below] : below;
    });
}

/** `exec` does something itself and has commands below it; `job` only has commands below it. */
const isRunnable = (command: Command): boolean =>
  command.commands.length === 0 || command.registeredArguments.length > 0;
