/**
 * The stock x402 stack on a chain that runs already: its facilitator and its resource server, each over loopback, without a framework.
 * Promise: the published packages do all the work; only requests are read and answers written here.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { x402Facilitator } from '@x402/core/facilitator';
import {
  decodePaymentSignatureHeader,
  encodePaymentRequiredHeader,
  encodePaymentResponseHeader,
} from '@x402/core/http';
import { HTTPFacilitatorClient, x402ResourceServer } from '@x402/core/server';
import { toFacilitatorEvmSigner } from '@x402/evm';
import { ExactEvmScheme as FacilitatorScheme } from '@x402/evm/exact/facilitator';
import { ExactEvmScheme as ServerScheme } from '@x402/evm/exact/server';
import { type Account, createPublicClient, createWalletClient, defineChain, http } from 'viem';

const CONFIRM_MS_MAX = 5_000;
const POLL_MS = 10;
const KEEP_ALIVE_MS = 60_000;
const TIMEOUT_S = 60;

export interface StockOptions {
  rpcUrl: string;
  chainId: number;
  token: string;
  tokenName: string;
  tokenVersion: string;
  payTo: string;
  /** With gas; carries the payments. */
  relayer: Account;
  micros: bigint;
}

export interface StockStack extends AsyncDisposable {
  /** Whoever posts here is asked to pay, then served. */
  url: string;
}

export async function startStock(options: StockOptions): Promise<StockStack> {
  const facilitator = await serve(facilitatorOf(options));
  const resource = await serve(await resourceOf(options, facilitator.url));
  return {
    url: resource.url,
    async [Symbol.asyncDispose]() {
      for (const { server } of [resource, facilitator]) {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
    },
  };
}

type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

async function serve(handler: Handler): Promise<{ url: string; server: Server }> {
  const server = createServer((request, response) => {
    handler(request, response).catch((fault: Error) => response.writeHead(500).end(fault.message));
  });
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}

const networkOf = ({ chainId }: StockOptions): `${string}:${string}` => `eip155:${chainId}`;

function facilitatorOf(options: StockOptions): Handler {
  const { rpcUrl, chainId, relayer } = options;
  const chain = defineChain({
    id: chainId,
    name: 'development',
    nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
    rpcUrls: { default: { http: [rpcUrl] } },
  });
  const reading = createPublicClient({ chain, transport: http(rpcUrl), cacheTime: 0, pollingInterval: POLL_MS });
  const writing = createWalletClient({ account: relayer, chain, transport: http(rpcUrl) });
  type Parts = Parameters<typeof toFacilitatorEvmSigner>[0];
  const signer = toFacilitatorEvmSigner(
    {
      address: relayer.address,
      readContract: (asked: never) => reading.readContract(asked),
      verifyTypedData: (asked: never) => reading.verifyTypedData(asked),
      writeContract: (asked: never) => writing.writeContract(asked),
      sendTransaction: (asked: never) => writing.sendTransaction(asked),
      waitForTransactionReceipt: (asked: never) => reading.waitForTransactionReceipt(asked),
      getCode: (asked: never) => reading.getCode(asked),
    } as unknown as Parts,
    { confirmationTimeoutMs: CONFIRM_MS_MAX },
  );
  const facilitator = new x402Facilitator().register(networkOf(options), new FacilitatorScheme(signer));
  return async (request, response) => {
    if (request.url === '/supported') return answer(response, facilitator.getSupported());
    const { paymentPayload, paymentRequirements } = (await bodyOf(request)) as Record<string, never>;
    const told =
      request.url === '/verify'
        ? await facilitator.verify(paymentPayload!, paymentRequirements!)
        : await facilitator.settle(paymentPayload!, paymentRequirements!);
    return answer(response, told);
  };
}

async function resourceOf(options: StockOptions, facilitatorUrl: string): Promise<Handler> {
  const { payTo, token, micros, tokenName: name, tokenVersion: version } = options;
  const server = new x402ResourceServer(new HTTPFacilitatorClient({ url: facilitatorUrl }));
  server.register(networkOf(options), new ServerScheme());
  await server.initialize();
  const price = { asset: token, amount: String(micros), extra: { name, version } };
  const scheme = { scheme: 'exact', network: networkOf(options), payTo, price, maxTimeoutSeconds: TIMEOUT_S };
  const accepts = await server.buildPaymentRequirements(scheme);
  return async (request, response) => {
    const header = request.headers['payment-signature'];
    if (header === undefined) {
      const resource = { url: 'http://stock/job', description: 'job', mimeType: 'application/json' };
      const required = await server.createPaymentRequiredResponse(accepts, resource);
      return answer(response, {}, 402, { 'PAYMENT-REQUIRED': encodePaymentRequiredHeader(required) });
    }
    const payload = decodePaymentSignatureHeader(String(header));
    const matching = server.findMatchingRequirements(accepts, payload)!;
    const { isValid, invalidReason } = await server.verifyPayment(payload, matching);
    if (!isValid) throw new Error(`the stock stack refused a payment: ${invalidReason}`);
    const settled = await server.settlePayment(payload, matching);
    if (!settled.success) throw new Error(`the stock stack did not settle: ${settled.errorReason}`);
    return answer(response, { ok: true }, 200, { 'PAYMENT-RESPONSE': encodePaymentResponseHeader(settled) });
  };
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return JSON.parse(Buffer.concat(chunks).toString());
}

async function answer(
  response: ServerResponse,
  body: unknown,
  status = 200,
  headers: Record<string, string> = {},
): Promise<void> {
  const text = JSON.stringify(body, (_name, value: unknown) => (typeof value === 'bigint' ? String(value) : value));
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(text);
}
