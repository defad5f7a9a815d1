/**
 * The one door of the verifier.
 * Promise: offline; an export is judged by its bytes, the log's key and the rules alone.
 */
export type { Problem, VerifyReport } from './report.ts';
export { PROBLEMS_MAX } from './report.ts';
export { type VerifyOptions, verifyChunks, verifyExport } from './verify.ts';
