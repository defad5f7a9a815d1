/**
 * The client half: typed REST calls and live topics, for Node and browsers.
 * Promise: imports nothing of Node and nothing of the server half.
 */
export { LIVE_JSON, LIVE_PATH, LIVE_PROTO, type LiveProtocol } from '../live-protocols.ts';
export { ApiError, type Problem, type RefusalWords, refuseHere } from './api-error.ts';
export { createLiveClient, type LiveClient, type LiveClientOptions } from './live-client.ts';
export { LiveProblem, type LiveReset, type LiveState, type TopicOptions } from './live-topic.ts';
export { PAYMENTS_MAX, type PaidCall, type Payer, SETTLE_MS_MAX } from './paying.ts';
export {
  type PaidAuthorization,
  type Payment,
  type PaymentOption,
  type PaymentRequired,
  readPaymentOption,
  readPaymentRequired,
  readPaymentResponse,
  writePaymentSignature,
} from './payment.ts';
export {
  type CallOptions,
  createRestClient,
  type Download,
  download,
  type RestClient,
  type RestClientOptions,
  type UploadBody,
  upload,
} from './rest-client.ts';
export { ATTEMPTS_MAX, type Retry } from './retry.ts';
export { createToolClient, type ToolClient } from './tool-client.ts';
