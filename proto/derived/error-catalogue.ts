/**
 * The error catalogue of tallystick/errors/v1/errors.proto as values. Written by `npm run gen`; do not edit.
 * Promise: every code of the proto file stands here once, and nothing else.
 */
export type ErrorFamily =
  | 'INVALID'
  | 'UNAUTHENTICATED'
  | 'PAYMENT_REQUIRED'
  | 'FORBIDDEN'
  | 'NOT_FOUND'
  | 'CONFLICT'
  | 'REFUSED'
  | 'LIMITED'
  | 'BUG'
  | 'UNAVAILABLE';

/** A code; the wire spells it in lower case. */
export type ErrorCodeName =
  | 'INVALID_REQUEST'
  | 'IDEMPOTENCY_KEY_MISSING'
  | 'SECURITY_MODE_NOT_ENABLED'
  | 'UNKNOWN_IMAGE'
  | 'CREDENTIAL_MISSING'
  | 'CREDENTIAL_REFUSED'
  | 'LOGIN_MESSAGE_MALFORMED'
  | 'LOGIN_NONCE_REFUSED'
  | 'LOGIN_DOMAIN_REFUSED'
  | 'LOGIN_CHAIN_REFUSED'
  | 'LOGIN_TIME_REFUSED'
  | 'LOGIN_ADDRESS_REFUSED'
  | 'LOGIN_SIGNATURE_REFUSED'
  | 'INSUFFICIENT_FUNDS'
  | 'SCOPE_MISSING'
  | 'DEVELOPMENT_ONLY'
  | 'NOT_FOUND'
  | 'ROUTE_NOT_FOUND'
  | 'IDEMPOTENCY_KEY_REUSED'
  | 'ALREADY_EXISTS'
  | 'JOB_NOT_ACTIVE'
  | 'JOB_CAP_EXCEEDED'
  | 'SANDBOX_CAP_EXCEEDED'
  | 'SANDBOX_COUNT_EXCEEDED'
  | 'POLICY_CAP_EXCEEDED'
  | 'TTL_REACHED'
  | 'IDLE_REACHED'
  | 'SANDBOX_NOT_RUNNING'
  | 'SANDBOX_ENDED'
  | 'NOTHING_TO_CHANGE'
  | 'AMOUNT_NOT_POSITIVE'
  | 'AMOUNT_TOO_LARGE'
  | 'ISOLATION_UNAVAILABLE'
  | 'PROVIDER_REFUSED'
  | 'FILE_REFUSED'
  | 'EXEC_REFUSED'
  | 'BODY_TOO_LARGE'
  | 'QUEUE_FULL'
  | 'INTERNAL'
  | 'QUARANTINED'
  | 'OUTCOME_UNKNOWN'
  | 'PROVIDER_UNREACHABLE'
  | 'NOT_READY'
  | 'ACCOUNT_SUSPENDED'
  | 'PROVIDER_CLOSED'
  | 'RATE_LIMITED'
  | 'LOGIN_SCOPE_REFUSED'
  | 'SECRETS_NOT_RELEASED'
  | 'SECRET_REFUSED'
  | 'ATTESTATION_REFUSED'
  | 'FILE_NOT_FOUND'
  | 'FILE_EXISTS'
  | 'NOT_A_DIRECTORY'
  | 'IS_A_DIRECTORY'
  | 'DIRECTORY_NOT_EMPTY'
  | 'NO_SPACE'
  | 'FILE_NOT_PERMITTED'
  | 'CROSSES_MOUNTS'
  | 'IMAGE_DIGEST_MISMATCH'
  | 'SNAPSHOT_NOT_READY'
  | 'SNAPSHOT_DAMAGED'
  | 'SNAPSHOT_REFUSED'
  | 'DISK_OUT_OF_RANGE'
  | 'EGRESS_NOT_OFFERED'
  | 'EGRESS_RULE_INVALID'
  | 'EGRESS_REFUSED'
  | 'NO_CHAIN'
  | 'CHAIN_UNREACHABLE'
  | 'DEPOSIT_PENDING'
  | 'DEPOSIT_NOT_PARKED'
  | 'NONCE_TAKEN'
  | 'SWEEP_UNDER_WAY'
  | 'PAYMENT_INVALID'
  | 'PAYMENT_SETTLING'
  | 'QUOTES_OFF'
  | 'WITHDRAWAL_TOO_SMALL'
  | 'WITHDRAWAL_CAP_EXCEEDED'
  | 'WITHDRAWAL_RESERVE'
  | 'WITHDRAWAL_OVER_BALANCE'
  | 'PAYOUT_ADDRESS_UNKNOWN'
  | 'PAYOUT_ADDRESS_WAITING'
  | 'PAYOUT_ADDRESS_REFUSED'
  | 'PAYOUT_PROOF_REFUSED'
  | 'RESERVES_DISAGREE'
  | 'FUNDS_NOT_UNEXPLAINED'
  | 'SANDBOX_UNFUNDED'
  | 'WITHDRAWALS_OFF'
  | 'WITHDRAWAL_UNDER_WAY'
  | 'PAYMENT_ABOVE_LIMIT'
  | 'PAYMENT_PAYEE_REFUSED'
  | 'PAYMENT_UNRESOLVED'
  | 'PAYMENT_OFFER_INVALID'
  | 'PAYMENT_DECLINED';

/** What is fixed about a code. `facts` names the members its problem body may carry. */
export interface ErrorEntry {
  readonly family: ErrorFamily;
  readonly httpStatus: number;
  readonly sentence: string;
  readonly suggestion: string;
  readonly facts: readonly string[];
}

export const ERROR_CATALOGUE: Readonly<Record<ErrorCodeName, ErrorEntry>> = {
  INVALID_REQUEST: {"family":"INVALID","httpStatus":400,"sentence":"The request does not satisfy its contract.","suggestion":"Fix every violation listed in errors.","facts":[]},
  IDEMPOTENCY_KEY_MISSING: {"family":"INVALID","httpStatus":400,"sentence":"The header Idempotency-Key is missing or not 1 to 255 visible characters.","suggestion":"Send a new key for a new request and the same key for a repeat.","facts":[]},
  SECURITY_MODE_NOT_ENABLED: {"family":"INVALID","httpStatus":400,"sentence":"The security mode is not enabled.","suggestion":"Use security_mode standard.","facts":["security_mode"]},
  UNKNOWN_IMAGE: {"family":"INVALID","httpStatus":400,"sentence":"The image is not on the allowlist.","suggestion":"Use one of the images listed.","facts":["image","allowed"]},
  CREDENTIAL_MISSING: {"family":"UNAUTHENTICATED","httpStatus":401,"sentence":"No API key was sent.","suggestion":"Log in and send Authorization: Bearer <key>.","facts":[]},
  CREDENTIAL_REFUSED: {"family":"UNAUTHENTICATED","httpStatus":401,"sentence":"The API key is unknown, revoked or expired.","suggestion":"Log in again.","facts":[]},
  LOGIN_MESSAGE_MALFORMED: {"family":"UNAUTHENTICATED","httpStatus":401,"sentence":"The message is not an EIP-4361 message in its one exact spelling.","suggestion":"Build the message exactly as EIP-4361 says.","facts":["cause"]},
  LOGIN_NONCE_REFUSED: {"family":"UNAUTHENTICATED","httpStatus":401,"sentence":"The nonce is unknown, used or expired.","suggestion":"Ask for a new nonce.","facts":[]},
  LOGIN_DOMAIN_REFUSED: {"family":"UNAUTHENTICATED","httpStatus":401,"sentence":"The message was signed for another domain or uri.","suggestion":"Sign for the domain the nonce answer names.","facts":["domain","expected"]},
  LOGIN_CHAIN_REFUSED: {"family":"UNAUTHENTICATED","httpStatus":401,"sentence":"The message names a chain that is not accepted.","suggestion":"Sign for an accepted chain id.","facts":["chain_id","accepted"]},
  LOGIN_TIME_REFUSED: {"family":"UNAUTHENTICATED","httpStatus":401,"sentence":"The message is not valid at this moment.","suggestion":"Sign a fresh message.","facts":["issued_at","expires_at","not_before","now"]},
  LOGIN_ADDRESS_REFUSED: {"family":"UNAUTHENTICATED","httpStatus":401,"sentence":"The nonce was made for another address.","suggestion":"Sign with the wallet that asked for the nonce.","facts":[]},
  LOGIN_SIGNATURE_REFUSED: {"family":"UNAUTHENTICATED","httpStatus":401,"sentence":"The signature is not the address's signature of this message.","suggestion":"Sign with personal_sign; a contract wallet names the chain on which it stands, one that this platform is connected to.","facts":[]},
  INSUFFICIENT_FUNDS: {"family":"PAYMENT_REQUIRED","httpStatus":402,"sentence":"The available balance does not cover the next minute.","suggestion":"Deposit at least the shortfall, or pay one of the options, and repeat with the same key.","facts":["required_micros","available_micros","shortfall_micros","quote_id","expires_at","options"]},
  SCOPE_MISSING: {"family":"FORBIDDEN","httpStatus":403,"sentence":"The API key lacks a scope.","suggestion":"Use a key with the scopes named: `tally login --scope …`. A login grants billing:withdraw only when it is asked for: `tally login --withdraw`.","facts":["missing"]},
  DEVELOPMENT_ONLY: {"family":"FORBIDDEN","httpStatus":403,"sentence":"This call exists only on a development platform that listens on loopback.","suggestion":"Deposit on chain instead.","facts":[]},
  NOT_FOUND: {"family":"NOT_FOUND","httpStatus":404,"sentence":"There is nothing here under this name for you.","suggestion":"Check the id.","facts":[]},
  ROUTE_NOT_FOUND: {"family":"NOT_FOUND","httpStatus":404,"sentence":"There is no such route.","suggestion":"See the OpenAPI document.","facts":["method","path"]},
  IDEMPOTENCY_KEY_REUSED: {"family":"CONFLICT","httpStatus":409,"sentence":"The Idempotency-Key was used with another request.","suggestion":"Use a new key for a new request.","facts":["first_command","first_receipt"]},
  ALREADY_EXISTS: {"family":"CONFLICT","httpStatus":409,"sentence":"It exists already.","suggestion":"Read it instead.","facts":["id"]},
  JOB_NOT_ACTIVE: {"family":"REFUSED","httpStatus":422,"sentence":"The job is not active any more.","suggestion":"Create a new job.","facts":["status","reason"]},
  JOB_CAP_EXCEEDED: {"family":"REFUSED","httpStatus":422,"sentence":"The job's spend cap does not cover the next minute.","suggestion":"Extend the job's max_total_spend_micros.","facts":["cap_micros","required_micros","available_micros"]},
  SANDBOX_CAP_EXCEEDED: {"family":"REFUSED","httpStatus":422,"sentence":"The sandbox's spend cap does not cover the next minute.","suggestion":"Extend the sandbox's max_spend_micros.","facts":["cap_micros","required_micros","available_micros"]},
  SANDBOX_COUNT_EXCEEDED: {"family":"REFUSED","httpStatus":422,"sentence":"The job runs as many sandboxes as it may.","suggestion":"Stop a sandbox first.","facts":["cap","running"]},
  POLICY_CAP_EXCEEDED: {"family":"REFUSED","httpStatus":422,"sentence":"The account's policy does not allow this.","suggestion":"Ask for less, or ask the platform's administrators for a higher tier; GET /v1/policy tells your caps.","facts":["cap","asked","available","tier"]},
  TTL_REACHED: {"family":"REFUSED","httpStatus":422,"sentence":"The time to live is over.","suggestion":"Create a new one.","facts":["expires_at"]},
  IDLE_REACHED: {"family":"REFUSED","httpStatus":422,"sentence":"Nothing happened for longer than the idle timeout.","suggestion":"Create a new one, or touch it while a program thinks.","facts":["idle_ms","idle_timeout_ms"]},
  SANDBOX_NOT_RUNNING: {"family":"REFUSED","httpStatus":422,"sentence":"The sandbox is not running.","suggestion":"Read the sandbox to see why; create a new one.","facts":["status","stop_reason"]},
  SANDBOX_ENDED: {"family":"REFUSED","httpStatus":422,"sentence":"The sandbox has ended.","suggestion":"Create a new one.","facts":["stop_reason"]},
  NOTHING_TO_CHANGE: {"family":"REFUSED","httpStatus":422,"sentence":"The request asks for nothing that is not so already.","suggestion":"Ask for more.","facts":[]},
  AMOUNT_NOT_POSITIVE: {"family":"REFUSED","httpStatus":422,"sentence":"The amount must be greater than zero.","suggestion":"Send a positive amount.","facts":["amount_micros"]},
  AMOUNT_TOO_LARGE: {"family":"REFUSED","httpStatus":422,"sentence":"The amount is above the limit.","suggestion":"Send less.","facts":["cap_micros","asked_micros"]},
  ISOLATION_UNAVAILABLE: {"family":"REFUSED","httpStatus":422,"sentence":"This machine cannot enforce the isolation asked for.","suggestion":"Run tally doctor.","facts":["level","missing","cap","asked","available"]},
  PROVIDER_REFUSED: {"family":"REFUSED","httpStatus":422,"sentence":"The provider refused.","suggestion":"See cause.","facts":["cause"]},
  FILE_REFUSED: {"family":"REFUSED","httpStatus":422,"sentence":"The sandbox refused the file operation.","suggestion":"See cause.","facts":["path","cause"]},
  EXEC_REFUSED: {"family":"REFUSED","httpStatus":422,"sentence":"The sandbox refused to start the command.","suggestion":"See cause.","facts":["cause"]},
  BODY_TOO_LARGE: {"family":"LIMITED","httpStatus":429,"sentence":"The body is larger than the limit.","suggestion":"Send less at once.","facts":["cap_bytes"]},
  QUEUE_FULL: {"family":"LIMITED","httpStatus":429,"sentence":"The platform takes no more commands at this moment.","suggestion":"Wait retry_after_ms, then repeat with the same key.","facts":["retry_after_ms"]},
  INTERNAL: {"family":"BUG","httpStatus":500,"sentence":"Something that must not happen happened.","suggestion":"Repeat once with the same key, then report the trace id.","facts":["trace_id"]},
  QUARANTINED: {"family":"BUG","httpStatus":500,"sentence":"The database refused what the rule decided; nothing was changed.","suggestion":"Report the receipt id.","facts":["cause"]},
  OUTCOME_UNKNOWN: {"family":"UNAVAILABLE","httpStatus":503,"sentence":"The outcome is unknown.","suggestion":"Repeat with the same key.","facts":[]},
  PROVIDER_UNREACHABLE: {"family":"UNAVAILABLE","httpStatus":503,"sentence":"The machine cannot be reached at this moment.","suggestion":"Repeat with the same key.","facts":["provider"]},
  NOT_READY: {"family":"UNAVAILABLE","httpStatus":503,"sentence":"The platform is starting or stopping.","suggestion":"Wait and repeat.","facts":["waiting_for"]},
  ACCOUNT_SUSPENDED: {"family":"REFUSED","httpStatus":422,"sentence":"The account is suspended: it may open and extend nothing.","suggestion":"Ask the platform's administrators; reading and exporting still work.","facts":["reason"]},
  PROVIDER_CLOSED: {"family":"REFUSED","httpStatus":422,"sentence":"The provider takes no new sandboxes.","suggestion":"Use another provider, or wait until this one is open again.","facts":["provider","status","reason"]},
  RATE_LIMITED: {"family":"LIMITED","httpStatus":429,"sentence":"The caller asks more often than it may.","suggestion":"Wait retry_after_ms, then repeat with the same key.","facts":["limit","per_minute_max","retry_after_ms"]},
  LOGIN_SCOPE_REFUSED: {"family":"FORBIDDEN","httpStatus":403,"sentence":"This wallet's login may not grant the scope.","suggestion":"Log in without the scope, or ask the platform's administrators to name this wallet as one of them.","facts":["scope"]},
  SECRETS_NOT_RELEASED: {"family":"REFUSED","httpStatus":422,"sentence":"The command needs secrets that were not released to this sandbox.","suggestion":"Release them with `tally secret put`, then repeat.","facts":["missing"]},
  SECRET_REFUSED: {"family":"REFUSED","httpStatus":422,"sentence":"The machine did not take the secrets.","suggestion":"See cause; attest again and seal anew when the machine has restarted.","facts":["name","cause"]},
  ATTESTATION_REFUSED: {"family":"REFUSED","httpStatus":422,"sentence":"What the machine says of itself does not hold.","suggestion":"See cause; release nothing to it.","facts":["cause"]},
  FILE_NOT_FOUND: {"family":"NOT_FOUND","httpStatus":404,"sentence":"There is no such file or directory in the sandbox.","suggestion":"Check the path; relative ones begin at the home directory.","facts":["path"]},
  FILE_EXISTS: {"family":"CONFLICT","httpStatus":409,"sentence":"Something stands at that path already.","suggestion":"Choose another path, or ask to overwrite.","facts":["path"]},
  NOT_A_DIRECTORY: {"family":"REFUSED","httpStatus":422,"sentence":"A step of the path is not a directory.","suggestion":"Check the path.","facts":["path"]},
  IS_A_DIRECTORY: {"family":"REFUSED","httpStatus":422,"sentence":"A directory stands at that path.","suggestion":"Name a file; a directory travels as a tar stream.","facts":["path"]},
  DIRECTORY_NOT_EMPTY: {"family":"REFUSED","httpStatus":422,"sentence":"The directory is not empty.","suggestion":"Ask for everything below it, too, or empty it first.","facts":["path"]},
  NO_SPACE: {"family":"REFUSED","httpStatus":422,"sentence":"The sandbox's disk has no room for it.","suggestion":"Remove something, or use a sandbox with a larger disk.","facts":["path","cap_bytes","asked_bytes","available_bytes"]},
  FILE_NOT_PERMITTED: {"family":"REFUSED","httpStatus":422,"sentence":"The sandbox's own user may not do that there.","suggestion":"Use a path below the home directory, or change its mode.","facts":["path","cause"]},
  CROSSES_MOUNTS: {"family":"REFUSED","httpStatus":422,"sentence":"The two paths are on different file systems.","suggestion":"Copy it with a command, then remove the original.","facts":["path","target"]},
  IMAGE_DIGEST_MISMATCH: {"family":"REFUSED","httpStatus":422,"sentence":"The image of the machine is not made of what was asked for or what stands on the allowlist.","suggestion":"Start without a digest, or name the one that is available.","facts":["image","asked","available"]},
  SNAPSHOT_NOT_READY: {"family":"REFUSED","httpStatus":422,"sentence":"The snapshot is not whole yet, or is kept by another provider.","suggestion":"Wait until its status is ready.","facts":["id","status"]},
  SNAPSHOT_DAMAGED: {"family":"REFUSED","httpStatus":422,"sentence":"The bytes of the snapshot are not those that were kept.","suggestion":"Delete it and start from another one.","facts":["id","cause"]},
  SNAPSHOT_REFUSED: {"family":"REFUSED","httpStatus":422,"sentence":"The machine could not take the snapshot.","suggestion":"See cause; ask again with a new key.","facts":["id","cause"]},
  DISK_OUT_OF_RANGE: {"family":"REFUSED","httpStatus":422,"sentence":"The disk is too small to be kept, or smaller than the one of the snapshot.","suggestion":"Ask for a disk of at least the available size.","facts":["cap","asked","available"]},
  EGRESS_NOT_OFFERED: {"family":"REFUSED","httpStatus":422,"sentence":"The provider does not let sandboxes out this way.","suggestion":"Ask for one of the available modes.","facts":["cap","asked","available","provider"]},
  EGRESS_RULE_INVALID: {"family":"INVALID","httpStatus":400,"sentence":"A rule of the allowlist cannot be read.","suggestion":"Write host:ports, e.g. packages.example.org:443, *.example.com:80,443 or 192.0.2.0/24:*; only an allowlist has rules.","facts":["asked","cause"]},
  EGRESS_REFUSED: {"family":"REFUSED","httpStatus":422,"sentence":"The machine did not take the new policy for ways out.","suggestion":"See cause; it is receipted and is carried there again until the machine takes it or ends.","facts":["cause"]},
  NO_CHAIN: {"family":"REFUSED","httpStatus":422,"sentence":"This platform is connected to no chain.","suggestion":"Its operator sets CHAIN_RPC_URL to connect it.","facts":[]},
  CHAIN_UNREACHABLE: {"family":"UNAVAILABLE","httpStatus":503,"sentence":"The chain does not answer, or its endpoints contradict each other.","suggestion":"Ask again with the same idempotency key.","facts":["retry_after_ms"]},
  DEPOSIT_PENDING: {"family":"UNAVAILABLE","httpStatus":503,"sentence":"The transfer is on the chain and not credited yet.","suggestion":"See it among the deposits (`tally deposits list`): it is credited when confirmations_needed blocks stand on it. Asked again with the same idempotency key, nothing is transferred twice.","facts":["tx","confirmations","confirmations_needed","retry_after_ms"]},
  DEPOSIT_NOT_PARKED: {"family":"CONFLICT","httpStatus":409,"sentence":"The deposit is not parked: there is nothing to claim.","suggestion":"When it is credited, it is yours already; when it is seen, it waits for blocks, and is credited or parked then; when it is gone or reversed, the chain took it back.","facts":["id","status"]},
  NONCE_TAKEN: {"family":"CONFLICT","httpStatus":409,"sentence":"Another transaction of the same key has this nonce, or one before it is missing.","suggestion":"Sign with the next nonce.","facts":["nonce"]},
  SWEEP_UNDER_WAY: {"family":"CONFLICT","httpStatus":409,"sentence":"The sweep before this one is not over.","suggestion":"Plan the next one after it.","facts":["id"]},
  PAYMENT_INVALID: {"family":"INVALID","httpStatus":400,"sentence":"The payment cannot be taken; nothing of it was used.","suggestion":"Put right what the cause names (a wallet that holds too little: fill it) and repeat with the same key. Who writes the payment header by hand repeats without it to be told what can be paid, and signs that.","facts":["field","cause"]},
  PAYMENT_SETTLING: {"family":"UNAVAILABLE","httpStatus":503,"sentence":"A payment for this request is under way.","suggestion":"Do not pay again; repeat with the same idempotency key.","facts":["quote_id","tx","retry_after_ms"]},
  QUOTES_OFF: {"family":"REFUSED","httpStatus":422,"sentence":"This platform takes no payments for requests.","suggestion":"Deposit on its chain; its operator sets CHAIN_RELAYER_KEY_FILE to take payments.","facts":[]},
  WITHDRAWAL_TOO_SMALL: {"family":"REFUSED","httpStatus":422,"sentence":"The withdrawal is smaller than what is worth sending.","suggestion":"Withdraw at least the cap, or more at once.","facts":["cap","cap_micros","asked_micros"]},
  WITHDRAWAL_CAP_EXCEEDED: {"family":"REFUSED","httpStatus":422,"sentence":"The withdrawal goes over what may leave the account this month.","suggestion":"Withdraw at most what is available, wait for the next month, or ask the operator of the platform for a higher tier.","facts":["cap","asked_micros","available_micros","tier","next_month_at"]},
  WITHDRAWAL_RESERVE: {"family":"REFUSED","httpStatus":422,"sentence":"The withdrawal would leave less in the account than its reserve.","suggestion":"Withdraw at most what is available, or ask the operator of the platform for a tier with a smaller reserve.","facts":["cap","asked_micros","available_micros","reserve_micros"]},
  WITHDRAWAL_OVER_BALANCE: {"family":"REFUSED","httpStatus":422,"sentence":"The account has less than the withdrawal.","suggestion":"Withdraw at most what is available.","facts":["cap","asked_micros","available_micros"]},
  PAYOUT_ADDRESS_UNKNOWN: {"family":"REFUSED","httpStatus":422,"sentence":"The address has not been proven for this account.","suggestion":"Leave the address out to withdraw to your own one, or prove this one first: ask for a text, sign it with the key of the address, send it back.","facts":["address"]},
  PAYOUT_ADDRESS_WAITING: {"family":"REFUSED","httpStatus":422,"sentence":"The address was proven too recently to withdraw to.","suggestion":"Withdraw to it from the moment named, or to your own address now.","facts":["address","usable_at"]},
  PAYOUT_ADDRESS_REFUSED: {"family":"REFUSED","httpStatus":422,"sentence":"Nothing may be withdrawn to this address.","suggestion":"Name an address of your own, as your wallet shows it.","facts":["address","cause"]},
  PAYOUT_PROOF_REFUSED: {"family":"REFUSED","httpStatus":422,"sentence":"The address is not proven by this signature.","suggestion":"Ask for a new text; sign exactly that with the key of the address, and with the key that owns the account.","facts":["cause"]},
  RESERVES_DISAGREE: {"family":"REFUSED","httpStatus":422,"sentence":"Nothing can be withdrawn while the chain holds less than the ledger says.","suggestion":"Ask again later with a new idempotency key; your balance stays what it is. The operator of the platform has been told.","facts":["missing_micros","ledger_micros","chain_micros","since"]},
  FUNDS_NOT_UNEXPLAINED: {"family":"REFUSED","httpStatus":422,"sentence":"No more can be explained than the last look at the chain found, and no more written off than is the platform's own.","suggestion":"Look at the reserves; ask for no more than available_micros.","facts":["asked_micros","available_micros","own_micros"]},
  SANDBOX_UNFUNDED: {"family":"PAYMENT_REQUIRED","httpStatus":402,"sentence":"The sandbox stands still because the account does not cover its next minute.","suggestion":"Bring at least the shortfall before ends_at, by a deposit, `tally top-up` or one of the options: it goes on at once with all that runs in it. Then repeat with the same key.","facts":["sandbox","ends_at","required_micros","available_micros","shortfall_micros","quote_id","expires_at","options"]},
  WITHDRAWALS_OFF: {"family":"REFUSED","httpStatus":422,"sentence":"This platform sends nothing to its chain.","suggestion":"Its operator sets CHAIN_TREASURY_KEY_FILE to let money out.","facts":[]},
  WITHDRAWAL_UNDER_WAY: {"family":"REFUSED","httpStatus":422,"sentence":"The withdrawal is signed or over, and cannot be taken back.","suggestion":"Read it again: it becomes final, or comes back by itself.","facts":["status"]},
  PAYMENT_ABOVE_LIMIT: {"family":"FORBIDDEN","httpStatus":403,"sentence":"A payment that the call needs is above what this wallet may pay by itself.","suggestion":"Ask whoever owns the wallet to allow it, then repeat with the same key.","facts":["cap","cap_micros","asked_micros","available_micros","per_payment_micros","per_day_micros","left_of_day_micros","payment_id","quote_id","idempotency_key"]},
  PAYMENT_PAYEE_REFUSED: {"family":"FORBIDDEN","httpStatus":403,"sentence":"The payment would go where this wallet does not pay to.","suggestion":"Nothing was paid. If the platform's address has changed and you know why, allow the new one.","facts":["cap","asked","available"]},
  PAYMENT_UNRESOLVED: {"family":"REFUSED","httpStatus":422,"sentence":"An earlier payment for the same call may still be taken.","suggestion":"Repeat with the same key after the time named: only then is the earlier payment surely dead.","facts":["payment_id","quote_id","retry_after_ms"]},
  PAYMENT_OFFER_INVALID: {"family":"REFUSED","httpStatus":422,"sentence":"The platform's request for a payment cannot be trusted.","suggestion":"Nothing was paid. Report it to the operator of the platform.","facts":["cause"]},
  PAYMENT_DECLINED: {"family":"FORBIDDEN","httpStatus":403,"sentence":"The payment was not allowed, or there is no wallet at hand that could sign it.","suggestion":"Nothing was paid. Deposit the shortfall, or allow the payment, and repeat with the same key.","facts":["asked_micros","payment_id","idempotency_key","cause"]},
};

export const isErrorCode = (text: string): text is ErrorCodeName => Object.hasOwn(ERROR_CATALOGUE, text);

/** The code as it stands in a problem body. */
export const wireCode = (code: ErrorCodeName): string => code.toLowerCase();

/** The code behind the wire's spelling; undefined for a spelling this build does not know. */
export function codeFromWire(text: string): ErrorCodeName | undefined {
  const code = text.toUpperCase();
  return isErrorCode(code) && wireCode(code) === text ? code : undefined;
}
