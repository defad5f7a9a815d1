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

/** A code as the wire spells it. */
export type ErrorCodeName =
  | 'invalid_request'
  | 'idempotency_key_missing'
  | 'security_mode_not_enabled'
  | 'unknown_image'
  | 'credential_missing'
  | 'credential_refused'
  | 'login_message_malformed'
  | 'login_nonce_refused'
  | 'login_domain_refused'
  | 'login_chain_refused'
  | 'login_time_refused'
  | 'login_address_refused'
  | 'login_signature_refused'
  | 'insufficient_funds'
  | 'scope_missing'
  | 'development_only'
  | 'not_found'
  | 'route_not_found'
  | 'idempotency_key_reused'
  | 'already_exists'
  | 'job_not_active'
  | 'job_cap_exceeded'
  | 'sandbox_cap_exceeded'
  | 'sandbox_count_exceeded'
  | 'policy_cap_exceeded'
  | 'ttl_reached'
  | 'idle_reached'
  | 'sandbox_not_running'
  | 'sandbox_ended'
  | 'nothing_to_change'
  | 'amount_not_positive'
  | 'amount_too_large'
  | 'isolation_unavailable'
  | 'provider_refused'
  | 'file_refused'
  | 'exec_refused'
  | 'body_too_large'
  | 'queue_full'
  | 'internal'
  | 'quarantined'
  | 'outcome_unknown'
  | 'provider_unreachable'
  | 'not_ready';

/** What is fixed about a code. `facts` names the members its problem body may carry. */
export interface ErrorEntry {
  readonly family: ErrorFamily;
  readonly httpStatus: number;
  readonly sentence: string;
  readonly suggestion: string;
  readonly facts: readonly string[];
}

export const ERROR_CATALOGUE: Readonly<Record<ErrorCodeName, ErrorEntry>> = {
  invalid_request: {"family":"INVALID","httpStatus":400,"sentence":"The request does not satisfy its contract.","suggestion":"Fix every violation listed in errors.","facts":[]},
  idempotency_key_missing: {"family":"INVALID","httpStatus":400,"sentence":"The header Idempotency-Key is missing or not 1 to 255 visible characters.","suggestion":"Send a new key for a new request and the same key for a repeat.","facts":[]},
  security_mode_not_enabled: {"family":"INVALID","httpStatus":400,"sentence":"The security mode is not enabled.","suggestion":"Use security_mode standard.","facts":["security_mode"]},
  unknown_image: {"family":"INVALID","httpStatus":400,"sentence":"The image is not on the allowlist.","suggestion":"Use one of the images listed.","facts":["image","allowed"]},
  credential_missing: {"family":"UNAUTHENTICATED","httpStatus":401,"sentence":"No API key was sent.","suggestion":"Log in and send Authorization: Bearer <key>.","facts":[]},
  credential_refused: {"family":"UNAUTHENTICATED","httpStatus":401,"sentence":"The API key is unknown, revoked or expired.","suggestion":"Log in again.","facts":[]},
  login_message_malformed: {"family":"UNAUTHENTICATED","httpStatus":401,"sentence":"The message is not an EIP-4361 message in its one exact spelling.","suggestion":"Build the message exactly as EIP-4361 says.","facts":["cause"]},
  login_nonce_refused: {"family":"UNAUTHENTICATED","httpStatus":401,"sentence":"The nonce is unknown, used or expired.","suggestion":"Ask for a new nonce.","facts":[]},
  login_domain_refused: {"family":"UNAUTHENTICATED","httpStatus":401,"sentence":"The message was signed for another domain or uri.","suggestion":"Sign for the domain the nonce answer names.","facts":["domain","expected"]},
  login_chain_refused: {"family":"UNAUTHENTICATED","httpStatus":401,"sentence":"The message names a chain that is not accepted.","suggestion":"Sign for an accepted chain id.","facts":["chain_id","accepted"]},
  login_time_refused: {"family":"UNAUTHENTICATED","httpStatus":401,"sentence":"The message is not valid at this moment.","suggestion":"Sign a fresh message.","facts":["issued_at","expires_at","not_before","now"]},
  login_address_refused: {"family":"UNAUTHENTICATED","httpStatus":401,"sentence":"The nonce was made for another address.","suggestion":"Sign with the wallet that asked for the nonce.","facts":[]},
  login_signature_refused: {"family":"UNAUTHENTICATED","httpStatus":401,"sentence":"The signature is not the address's signature of this message.","suggestion":"Sign with personal_sign.","facts":[]},
  insufficient_funds: {"family":"PAYMENT_REQUIRED","httpStatus":402,"sentence":"The available balance does not cover the next minute.","suggestion":"Deposit at least the shortfall and repeat with the same key.","facts":["required_micros","available_micros","shortfall_micros"]},
  scope_missing: {"family":"FORBIDDEN","httpStatus":403,"sentence":"The API key lacks a scope.","suggestion":"Use a key with the scopes named.","facts":["missing"]},
  development_only: {"family":"FORBIDDEN","httpStatus":403,"sentence":"This call exists only on a development platform that listens on loopback.","suggestion":"Deposit on chain instead.","facts":[]},
  not_found: {"family":"NOT_FOUND","httpStatus":404,"sentence":"There is nothing here under this name for you.","suggestion":"Check the id.","facts":[]},
  route_not_found: {"family":"NOT_FOUND","httpStatus":404,"sentence":"There is no such route.","suggestion":"See the OpenAPI document.","facts":["method","path"]},
  idempotency_key_reused: {"family":"CONFLICT","httpStatus":409,"sentence":"The Idempotency-Key was used with another request.","suggestion":"Use a new key for a new request.","facts":["first_command","first_receipt"]},
  already_exists: {"family":"CONFLICT","httpStatus":409,"sentence":"It exists already.","suggestion":"Read it instead.","facts":["id"]},
  job_not_active: {"family":"REFUSED","httpStatus":422,"sentence":"The job is not active any more.","suggestion":"Create a new job.","facts":["status","reason"]},
  job_cap_exceeded: {"family":"REFUSED","httpStatus":422,"sentence":"The job's spend cap does not cover the next minute.","suggestion":"Extend the job's max_total_spend_micros.","facts":["cap_micros","required_micros","available_micros"]},
  sandbox_cap_exceeded: {"family":"REFUSED","httpStatus":422,"sentence":"The sandbox's spend cap does not cover the next minute.","suggestion":"Extend the sandbox's max_spend_micros.","facts":["cap_micros","required_micros","available_micros"]},
  sandbox_count_exceeded: {"family":"REFUSED","httpStatus":422,"sentence":"The job runs as many sandboxes as it may.","suggestion":"Stop a sandbox first.","facts":["cap","running"]},
  policy_cap_exceeded: {"family":"REFUSED","httpStatus":422,"sentence":"The account's policy does not allow this.","suggestion":"Ask for less, or for a higher tier.","facts":["cap","asked","available"]},
  ttl_reached: {"family":"REFUSED","httpStatus":422,"sentence":"The time to live is over.","suggestion":"Create a new one.","facts":["expires_at"]},
  idle_reached: {"family":"REFUSED","httpStatus":422,"sentence":"Nothing happened for longer than the idle timeout.","suggestion":"Create a new one, or touch it while a program thinks.","facts":["idle_ms","idle_timeout_ms"]},
  sandbox_not_running: {"family":"REFUSED","httpStatus":422,"sentence":"The sandbox is not running.","suggestion":"Read the sandbox to see why; create a new one.","facts":["status","stop_reason"]},
  sandbox_ended: {"family":"REFUSED","httpStatus":422,"sentence":"The sandbox has ended.","suggestion":"Create a new one.","facts":["stop_reason"]},
  nothing_to_change: {"family":"REFUSED","httpStatus":422,"sentence":"The request asks for nothing that is not so already.","suggestion":"Ask for more.","facts":[]},
  amount_not_positive: {"family":"REFUSED","httpStatus":422,"sentence":"The amount must be greater than zero.","suggestion":"Send a positive amount.","facts":["amount_micros"]},
  amount_too_large: {"family":"REFUSED","httpStatus":422,"sentence":"The amount is above the limit.","suggestion":"Send less.","facts":["cap_micros","asked_micros"]},
  isolation_unavailable: {"family":"REFUSED","httpStatus":422,"sentence":"This machine cannot enforce the isolation asked for.","suggestion":"Run tally doctor.","facts":["level","missing"]},
  provider_refused: {"family":"REFUSED","httpStatus":422,"sentence":"The provider refused.","suggestion":"See cause.","facts":["cause"]},
  file_refused: {"family":"REFUSED","httpStatus":422,"sentence":"The sandbox refused the file operation.","suggestion":"See cause.","facts":["path","cause"]},
  exec_refused: {"family":"REFUSED","httpStatus":422,"sentence":"The sandbox refused to start the command.","suggestion":"See cause.","facts":["cause"]},
  body_too_large: {"family":"LIMITED","httpStatus":429,"sentence":"The body is larger than the limit.","suggestion":"Send less at once.","facts":["cap_bytes"]},
  queue_full: {"family":"LIMITED","httpStatus":429,"sentence":"The platform takes no more commands at this moment.","suggestion":"Wait retry_after_ms, then repeat with the same key.","facts":["retry_after_ms"]},
  internal: {"family":"BUG","httpStatus":500,"sentence":"Something that must not happen happened.","suggestion":"Repeat once with the same key, then report the trace id.","facts":["trace_id"]},
  quarantined: {"family":"BUG","httpStatus":500,"sentence":"The database refused what the rule decided; nothing was changed.","suggestion":"Report the receipt id.","facts":["cause"]},
  outcome_unknown: {"family":"UNAVAILABLE","httpStatus":503,"sentence":"The outcome is unknown.","suggestion":"Repeat with the same key.","facts":[]},
  provider_unreachable: {"family":"UNAVAILABLE","httpStatus":503,"sentence":"The machine cannot be reached at this moment.","suggestion":"Repeat with the same key.","facts":["provider"]},
  not_ready: {"family":"UNAVAILABLE","httpStatus":503,"sentence":"The platform is starting or stopping.","suggestion":"Wait and repeat.","facts":["waiting_for"]},
};
