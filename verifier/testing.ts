/**
 * Exports to verify in tests and benchmarks: a small economy of three rules, and a forger who can seal any lines anew.
 * Promise: everything is made of arguments; two calls give the same bytes.
 */
import {
  appendLeaves,
  createExportDigest,
  type Decider,
  type Decision,
  type Envelope,
  escrowAccount,
  exportHeaderLine,
  exportReceiptLine,
  exportTicketLine,
  type HashSource,
  inclusionProof,
  type JsonObject,
  jcs,
  leafHash,
  logKeyFromSeed,
  logVerifierOf,
  memoryWorld,
  providerAccount,
  type Receipt,
  RUN_TICKET_TYPE,
  type Rules,
  receiptIdOf,
  rootOf,
  type SigningKey,
  sha256Hex,
  signCheckpoint,
  signEnvelope,
  signingKeyFromSeed,
  userAccount,
  WORLD_DEPOSITS,
  type World,
} from '@tallystick/kernel';

const seed = (byte: number): Buffer => Buffer.alloc(32, byte);
/** The issuer of receipts of worlds in memory. */
export const LOG_KEY = logKeyFromSeed('memory', seed(1));
export const OTHER_LOG_KEY = logKeyFromSeed('memory', seed(2));
export const LEASE_KEY = signingKeyFromSeed(seed(3));
export const OTHER_LEASE_KEY = signingKeyFromSeed(seed(4));

export const ALICE = 'eip155:1:0xa11ce';
export const PRICE_MICROS = 1_000n;
const PROVIDER = providerAccount('p');
const MINUTE_US = 60_000_000n;
const STEP_MS = 60_000;

const text = (value: unknown): string => String(value);
const opened = (account: string, noOverdraft: boolean) => ({ account, asset: 'usd' as const, noOverdraft });
const paid = (debit: string, credit: string, amountMicros: bigint) => ({
  asset: 'usd' as const,
  debit,
  credit,
  amountMicros,
});

const ledger: Decider = {
  kind: 'ledger',
  initial: { open: false },
  reads: () => ({}),
  decide: () => ({
    events: [{ type: 'LedgerOpened', body: {} }],
    opens: [opened(WORLD_DEPOSITS, false), opened(PROVIDER, true)],
  }),
  evolve: () => ({ open: true }),
  owner: () => null,
};

const account: Decider = {
  kind: 'account',
  initial: { principal: null, deposited_micros: '0' },
  reads: () => ({}),
  decide(_, { stream, type, body }): Decision {
    const principal = stream.slice('account:'.length);
    if (type === 'OpenAccount')
      return {
        events: [{ type: 'AccountOpened', body: { principal } }],
        opens: [opened(userAccount(principal), true)],
      };
    const amountMicros = BigInt(text(body['amount_micros']));
    if (amountMicros <= 0n) return { rejection: 'AMOUNT_NOT_POSITIVE', facts: { asked_micros: text(amountMicros) } };
    return {
      events: [{ type: 'DepositCredited', body: { amount_micros: text(amountMicros) } }],
      postings: [paid(WORLD_DEPOSITS, userAccount(principal), amountMicros)],
    };
  },
  evolve(state, { type, body }) {
    if (type === 'AccountOpened') return { ...state, principal: body['principal']! };
    return {
      ...state,
      deposited_micros: text(BigInt(text(state['deposited_micros'])) + BigInt(text(body['amount_micros']))),
    };
  },
  owner: (state) => state['principal'] as string | null,
};

const sandbox: Decider = {
  kind: 'sandbox',
  initial: { payer: null, seq: 0, paid_until_us: '0' },
  reads: ({ body }) => ({ accounts: [userAccount(text(body['payer']))] }),
  decide(state, { stream, type, body }, seen): Decision {
    const [user, escrow] = [userAccount(text(body['payer'])), escrowAccount(stream)];
    if (type === 'EndSandbox')
      return {
        events: [{ type: 'SandboxEnded', body: { refunded_micros: '400' } }],
        postings: [paid(escrow, user, 400n), paid(escrow, PROVIDER, 600n)],
      };
    const availableMicros = seen.availableMicros(user) ?? 0n;
    if (availableMicros < PRICE_MICROS)
      return { rejection: 'INSUFFICIENT_FUNDS', facts: { available_micros: text(availableMicros) } };
    const startsUs = state['seq'] === 0 ? seen.atUs : BigInt(text(state['paid_until_us']));
    const sold = {
      payer: body['payer']!,
      seq: Number(state['seq']) + 1,
      starts_at_us: text(startsUs),
      paid_until_us: text(startsUs + MINUTE_US),
      duration_ms: STEP_MS,
      price_micros: text(PRICE_MICROS),
    };
    return {
      events: [{ type: 'MinuteSold', body: sold }],
      opens: state['seq'] === 0 ? [opened(escrow, true)] : [],
      postings: [paid(user, escrow, PRICE_MICROS)],
      rule: 'price',
    };
  },
  evolve: (state, { type, body }) => (type === 'SandboxEnded' ? { ...state, ended: true } : { ...state, ...body }),
  owner: (state) => state['payer'] as string | null,
};

export const SMALL_RULES: Rules = {
  deciders: new Map([ledger, account, sandbox].map((decider) => [decider.kind, decider])),
  reactions: [],
  policy: { version: 'small-1', hash: sha256Hex('small-1') },
};

/** One user, `sandboxes` machines with 5 minutes each, a refusal at the end. */
export function smallWorld(sandboxes = 1, rules = SMALL_RULES): World {
  const world = memoryWorld(rules, { isStrict: false });
  let key = 0;
  const run = (stream: string, type: string, body: JsonObject = {}): void => {
    world.execute({ principal: 'platform', key: `k${++key}`, stream, type, body }, BigInt(key) * 1_000_000n);
  };
  run('ledger:platform', 'OpenLedger');
  run(`account:${ALICE}`, 'OpenAccount');
  for (let n = 1; n <= sandboxes; n++) {
    run(`account:${ALICE}`, 'CreditDeposit', { amount_micros: text(PRICE_MICROS * 5n) });
    const life = { payer: ALICE, job: 'job_1', incarnation: 1 };
    for (let minute = 1; minute <= 5; minute++) run(`sandbox:sbx_${n}`, 'SellMinute', life);
    run(`sandbox:sbx_${n}`, 'EndSandbox', life);
  }
  run('sandbox:sbx_poor', 'SellMinute', { payer: 'nobody', job: 'job_1', incarnation: 1 });
  return world;
}

export interface ExportOptions {
  owner?: string | null;
  logKey?: typeof LOG_KEY;
  leaseKey?: SigningKey;
  /** The tickets of a receipt; those of the small world by default. */
  tickets?: (receipt: Receipt, pos: number) => Envelope[];
}

/** The lines of an export of the world's receipts: header, receipts, tickets, end. */
export async function exportLines(
  world: Pick<World, 'receipts' | 'rules'>,
  options: ExportOptions = {},
): Promise<string[]> {
  const { owner = null, logKey = LOG_KEY, leaseKey = LEASE_KEY } = options;
  const tickets = options.tickets ?? ((receipt: Receipt, pos: number) => ticketsOf(receipt, pos, leaseKey));
  const stored = world.receipts.map((receipt) => jcs(receipt as unknown as JsonObject));
  const leaves = stored.map((bytes) => leafHash(bytes));
  const source = sourceOf(leaves);
  const kept = world.receipts.flatMap((receipt, pos) => (owner === null || receipt.owner === owner ? [pos] : []));
  const root = rootOfAll(leaves);
  const lines = [
    exportHeaderLine({
      origin: logKey.origin,
      log_verifier: logVerifierOf(logKey),
      checkpoint: signCheckpoint(logKey, { size: leaves.length, root }),
      size: leaves.length,
      lease_keys: [{ keyid: leaseKey.id, public_key: leaseKey.publicKey.toString('base64') }],
      owner,
      policy: world.rules.policy,
      exported_at_us: '1700000000000000',
    }),
  ];
  for (const pos of kept)
    lines.push(exportReceiptLine(pos, stored[pos]!, await inclusionProof(pos, leaves.length, source)));
  for (const pos of kept) lines.push(...tickets(world.receipts[pos]!, pos).map(exportTicketLine));
  return seal(lines);
}

/** The same lines with a right end line; an end line that stood there is replaced. */
export function seal(lines: string[]): string[] {
  const content = lines.filter((line) => !line.includes('"type":"tallystick.export.end"'));
  const digest = createExportDigest();
  for (const line of content) digest.add(line);
  const countOf = (start: string): number => content.filter((line) => line.startsWith(start)).length;
  return [...content, digest.endLine({ receipts: countOf('{"pos":'), tickets: countOf('{"ticket":') })];
}

/** The ticket of a sale, with members replaced. */
export function ticketFor(receipt: Receipt, pos: number, key: SigningKey, other: JsonObject = {}): Envelope {
  const { body } = receipt.events[0]!;
  const { payer: _, ...terms } = body;
  const ticket = {
    ...terms,
    sandbox: receipt.stream.slice('sandbox:'.length),
    incarnation: 1,
    minutes: terms['seq']!,
    job: 'job_1',
    receipt: receiptIdOf(0, pos, BigInt(receipt.at_us)),
    receipt_hash: sha256Hex(jcs(receipt as unknown as JsonObject)),
    final: false,
    ...other,
  };
  return signEnvelope(RUN_TICKET_TYPE, ticket, key);
}

const ticketsOf = (receipt: Receipt, pos: number, key: SigningKey): Envelope[] =>
  receipt.events.filter(({ type }) => type === 'MinuteSold').map(() => ticketFor(receipt, pos, key));

/** Roots of full tiles are computed once: a proof reads many. */
function sourceOf(leaves: Buffer[]): HashSource {
  const roots = new Map<string, Buffer>();
  return {
    leaves: async (from, to) => leaves.slice(from, to),
    tileRoot: async (level, index) => {
      const name = `${level}/${index}`;
      const width = 2 ** level;
      const root = roots.get(name) ?? rootOfAll(leaves.slice(index * width, (index + 1) * width));
      roots.set(name, root);
      return root;
    },
  };
}

const rootOfAll = (leaves: Buffer[]): Buffer => rootOf(appendLeaves({ size: 0, roots: [] }, leaves).frontier);
