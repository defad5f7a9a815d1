/**
 * What a client throws when the platform answers with a problem, or when it is clear that it would.
 * Promise: carries the whole problem body; `code` is the wire's spelling.
 */
import type { Json, JsonObject } from '@tallystick/kernel';
import { ERROR_CATALOGUE, type ErrorCodeName, wireCode } from '@tallystick/proto';

/** An RFC 9457 problem as the platform sends it; facts of the code stand beside these members. */
export interface Problem extends JsonObject {
  type: string;
  title: string;
  status: number;
  code: string;
  detail: string;
  suggestion: string;
  trace_id: string;
}

const MS_PER_S = 1_000;

/** A class because it is thrown. */
export class ApiError extends Error {
  /** HTTP status. */
  readonly status: number;
  /** As in the problem body, e.g. `job_cap_exceeded`. */
  readonly code: string;
  readonly problem: Problem;
  /** Of the answer; undefined for a refusal by the client itself. */
  readonly headers: Headers | undefined;

  constructor(status: number, problem: Problem, headers?: Headers) {
    super(problem.detail);
    this.name = 'ApiError';
    this.status = status;
    this.code = problem.code;
    this.problem = problem;
    this.headers = headers;
  }

  /** How long the platform says to wait, by its problem or else by Retry-After in seconds; undefined when it does not. */
  get retryAfterMs(): number | undefined {
    const told = this.problem['retry_after_ms'];
    if (typeof told === 'number') return told;
    const seconds = this.headers?.get('retry-after') ?? '';
    return /^[0-9]{1,6}$/.test(seconds) ? Number(seconds) * MS_PER_S : undefined;
  }
}

/** What a refusal by a client says besides its code. */
export interface RefusalWords {
  /** Absent: the catalogue's sentence. */
  detail?: string;
  /** Absent: the catalogue's. */
  suggestion?: string;
  /** Further members of the problem, as the catalogue names them for the code. */
  facts?: JsonObject;
}

/** A refusal before anything was sent, worded as the platform words its own; without a trace id. */
export function refuseHere(name: ErrorCodeName, words: RefusalWords = {}): ApiError {
  const { httpStatus: status, sentence: title, suggestion: usual } = ERROR_CATALOGUE[name];
  const { detail = title, suggestion = usual, facts = {} } = words;
  const code = wireCode(name);
  const type = `urn:tallystick:problem:${code}`;
  return new ApiError(status, { type, title, status, code, detail, suggestion, trace_id: '', ...facts });
}

/** Reads an answer that is not 2xx; answers of other software become a problem too. */
export async function readProblem(response: Response): Promise<ApiError> {
  const text = await response.text();
  const body = parseObject(text);
  const word = (name: string, fallback: string): string => (typeof body[name] === 'string' ? body[name] : fallback);
  const problem = {
    ...body,
    type: word('type', 'about:blank'),
    title: word('title', response.statusText),
    status: response.status,
    code: word('code', `http_${response.status}`),
    detail: word('detail', text.slice(0, 500) || response.statusText),
    suggestion: word('suggestion', ''),
    trace_id: word('trace_id', response.headers.get('trace-id') ?? ''),
  };
  return new ApiError(response.status, problem, response.headers);
}

function parseObject(text: string): JsonObject {
  try {
    const value = JSON.parse(text) as Json;
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
  } catch {
    return {};
  }
}
