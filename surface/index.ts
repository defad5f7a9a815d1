/**
 * How it is said: from contracts to REST, OpenAPI and live streams. Knows no plane.
 * Promise: what a program exports here is all it needs to serve the contracts it implements.
 */
export { type Operation, type Route, readOperations, type Tool, type Verb } from './contract.ts';
export {
  type Authenticate,
  type Call,
  createDispatch,
  type Dispatch,
  type DispatchOptions,
  type Handlers,
  type Implementation,
  type Incoming,
  implement,
  type Principal,
  type RawReply,
} from './dispatch.ts';
export { type Comment, inlineSchema } from './json-schema.ts';
export { attachLive, type LiveOptions, type LiveServer } from './live.ts';
export type { OpenTopic } from './live-connection.ts';
export { LIVE_JSON, LIVE_PATH, LIVE_PROTO, type LiveProtocol } from './live-protocols.ts';
export type { LiveEvent, LiveTopic } from './live-subscription.ts';
export { type OpenapiTitle, openapiDocument } from './openapi.ts';
export { type LogFault, PROBLEM_MEDIA_TYPE, type ProblemAnswer, problemOf, problemOfThrown } from './problem.ts';
export { ApiRefusal, type RefusalExtra, refuse, refuseInvalid, type Violation } from './refusal.ts';
export { registerOpenapi } from './register-openapi.ts';
export { createRestServer, JSON_BODY_BYTES_MAX, RAW_BODY_BYTES_MAX, type RestOptions, registerRest } from './rest.ts';
export { enumWord, isSecret, restPrinter } from './rest-json.ts';
