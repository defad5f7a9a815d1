/**
 * The development chain over JSON-RPC on HTTP, for programs of this machine.
 * Promise: bodies and batches are bounded; whatever is asked, the answer is JSON-RPC.
 */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Address } from 'viem';
import type { DevelopmentChain } from './chain.ts';
import { RpcFault } from './evm.ts';

const BODY_BYTES_MAX = 1_048_576;
const BATCH_MAX = 1_000;
const PARSE_ERROR = -32_700;
const INVALID_REQUEST = -32_600;
const INTERNAL_ERROR = -32_603;
const ADDRESS = /^0x[0-9a-fA-F]{40}$/;
const REFERENCE_CHARS_MAX = 256;

interface Call {
  id?: unknown;
  method?: unknown;
  params?: unknown;
}

/** Listens on loopback. */
export async function serveChain(chain: DevelopmentChain, port: number): Promise<{ url: string; server: Server }> {
  const server = createServer((request, response) => {
    answerBody(chain, request)
      .catch((fault: unknown) => errorAnswer(null, fault))
      .then((answer) => {
        response.setHeader('content-type', 'application/json');
        response.end(toJson(answer));
      })
      .catch(() => response.destroy());
  });
  const listening = Promise.withResolvers<void>();
  server.once('error', listening.reject);
  server.listen(port, '127.0.0.1', listening.resolve);
  await listening.promise;
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}

const toJson = (value: unknown): string =>
  JSON.stringify(value, (_name, member: unknown) => (typeof member === 'bigint' ? String(member) : member));

async function answerBody(chain: DevelopmentChain, request: IncomingMessage): Promise<unknown> {
  let calls: unknown;
  try {
    calls = JSON.parse(await bodyOf(request));
  } catch (fault) {
    return errorAnswer(null, new RpcFault(PARSE_ERROR, (fault as Error).message, null));
  }
  if (!Array.isArray(calls)) return answerCall(chain, calls as Call);
  if (calls.length > BATCH_MAX)
    return errorAnswer(null, new RpcFault(INVALID_REQUEST, `at most ${BATCH_MAX} calls, not ${calls.length}`, null));
  return Promise.all(calls.map((call: Call) => answerCall(chain, call)));
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes <= BODY_BYTES_MAX) parts.push(part);
  }
  if (bytes > BODY_BYTES_MAX) throw new RangeError(`at most ${BODY_BYTES_MAX} bytes, not ${bytes}`);
  return Buffer.concat(parts).toString('utf8');
}

async function answerCall(chain: DevelopmentChain, call: Call | null): Promise<unknown> {
  const { id = null, method, params } = call ?? {};
  try {
    if (typeof method !== 'string') throw new RpcFault(INVALID_REQUEST, 'a call names its method', null);
    const result = method === 'tally_fund' ? await fund(chain, params) : await chain.request({ method, params });
    return { jsonrpc: '2.0', id, result };
  } catch (fault) {
    return errorAnswer(id, fault);
  }
}

function errorAnswer(id: unknown, fault: unknown): unknown {
  const { message } = fault as Error;
  if (!(fault instanceof RpcFault)) return { jsonrpc: '2.0', id, error: { code: INTERNAL_ERROR, message } };
  return { jsonrpc: '2.0', id, error: { code: fault.code, message, data: fault.data } };
}

/** `tally_fund [{to, micros, reference, with_gas}]`: the faucet. */
async function fund(chain: DevelopmentChain, params: unknown): Promise<unknown> {
  const [gift] = (Array.isArray(params) ? params : [params]) as Record<string, unknown>[];
  const { to, micros, reference, with_gas } = gift ?? {};
  const isWhole = typeof micros === 'string' && /^(0|[1-9][0-9]{0,18})$/.test(micros);
  const isNamed = typeof reference === 'string' && reference.length > 0 && reference.length <= REFERENCE_CHARS_MAX;
  if (typeof to !== 'string' || !ADDRESS.test(to) || !isWhole || !isNamed)
    throw new RpcFault(INVALID_REQUEST, 'tally_fund takes {to: address, micros: decimal text, reference: text}', null);
  return chain.faucet.give({ to: to as Address, micros: BigInt(micros), reference, withGas: with_gas === true });
}
