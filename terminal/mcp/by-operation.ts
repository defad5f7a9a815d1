/**
 * Operations of the contracts that are no tools by themselves.
 * Promise: each names the tool that does its work here, or the reason for having none; a test holds the list to the contracts.
 */
type Exception = { instead: string } | { because: string };

export const OPERATIONS_WITHOUT_TOOL: Readonly<Record<string, Exception>> = {
  'AuthService.CreateNonce': {
    because: 'a login needs the wallet and its passphrase, which no model should see: tally login',
  },
  'AuthService.VerifyLogin': { because: 'the second half of a login; its answer is a secret' },
  'ExecService.WriteExecStdin': { instead: 'sandbox_exec_input' },
  'FileService.DownloadFile': { instead: 'sandbox_download' },
  'FileService.UploadFile': { instead: 'sandbox_upload' },
  'ReceiptService.ExportReceipts': { instead: 'receipts_export' },
  'ReceiptService.GetCheckpoint': {
    because: 'for witnesses: receipts_export brings the checkpoint, receipts_verify checks it',
  },
  'ReceiptService.GetConsistencyProof': { because: 'for witnesses, who keep two checkpoints to compare' },
  'SecretService.ReleaseSecrets': {
    because: 'the value would pass through the model and its transcript: tally secret put',
  },
};
