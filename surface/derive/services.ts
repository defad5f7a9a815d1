/**
 * Every service of the contracts, in the order in which people read about them.
 * Promise: a service of proto/index.ts that is missing here fails a test.
 */
import type { DescService } from '@bufbuild/protobuf';
import {
  AdminService,
  AuthService,
  BillingService,
  DepositService,
  EgressService,
  ExecService,
  FileService,
  FundsService,
  JobService,
  PathService,
  PolicyService,
  PortService,
  QuoteService,
  ReceiptService,
  SandboxService,
  SecretService,
  SnapshotService,
  WalletService,
  WatchService,
  WithdrawalService,
} from '@tallystick/proto';

export const ALL_SERVICES: readonly DescService[] = [
  AuthService,
  BillingService,
  DepositService,
  QuoteService,
  WithdrawalService,
  WalletService,
  JobService,
  SandboxService,
  ExecService,
  FileService,
  PathService,
  WatchService,
  PortService,
  EgressService,
  SecretService,
  SnapshotService,
  ReceiptService,
  PolicyService,
  AdminService,
  FundsService,
];
