/**
 * A provider in memory, for unit tests and the simulator: real lease arithmetic on an injected clock, no isolation.
 * Promise: nothing happens by itself; every call first brings all sandboxes up to the clock's now.
 */
import { setImmediate as yieldOnce } from 'node:timers/promises';
import { sha256Hex } from '@tallystick/kernel';
import { checkMockEgress, egressCalls, MOCK_EGRESS, mockEgressEnv, mockReach } from './mock-egress.ts';
import { at, fileCalls } from './mock-files.ts';
import { resize, typeInto } from './mock-input.ts';
import { admit, type MockClock } from './mock-lease.ts';
import { pathCalls } from './mock-paths.ts';
import { openMockPort } from './mock-port.ts';
import {
  endExec,
  endSandbox,
  execView,
  HOME,
  type MockExec,
  type MockSandbox,
  newSandbox,
  ranMs,
  sandboxView,
  settle,
  type Tell,
} from './mock-sandbox.ts';
import { redactSteps, secretCalls, secretEnv } from './mock-secrets.ts';
import { stepsOf } from './mock-shell.ts';
import { checkMockImage, keepMock, type MockSnapshots, restoreMock, snapshotCalls } from './mock-snapshots.ts';
import { watchCalls } from './mock-watch.ts';
import {
  type Created,
  type Descriptor,
  type ExecSpec,
  type FactValue,
  type Provider,
  type ProviderEvent,
  type ProviderEventName,
  ProviderFault,
  type SandboxSpec,
} from './port.ts';

export interface MockProviderOptions {
  /** Raw Ed25519 key of who mints RunTickets. */
  leaseKey: Uint8Array;
  clock: MockClock;
  /** How much before the paid end it freezes. */
  marginMs?: number;
  images?: string[];
}

export interface MockProvider extends Provider {
  /** Brings everything up to the clock's now. */
  look(): void;
  /** The machine restarts: all sandboxes are lost, the next events are of another boot. */
  restart(): void;
  /** While false every call is `unreachable`; leases go on ending. */
  isReachable: boolean;
}

const MARGIN_MS = 250;
const IMAGES = ['sandbox-base:v1.0.0'];
const OUTPUT_BYTES_DEFAULT = 256 * 1024;

interface World {
  options: MockProviderOptions;
  sandboxes: Map<string, MockSandbox>;
  used: Map<string, number>;
  snapshots: MockSnapshots;
  events: ProviderEvent[];
  boot: number;
  isReachable: boolean;
}

const digestsOf = ({ options }: World): Record<string, string> =>
  Object.fromEntries((options.images ?? IMAGES).map((image) => [image, sha256Hex(Buffer.from(image))]));
const bootId = (world: World): string => `mock-boot-${world.boot}`;
const nowUs = (world: World): number => Math.round(world.options.clock.wallMs() * 1_000);
const refuse = (code: string, detail: string, facts?: Record<string, FactValue>): ProviderFault =>
  new ProviderFault('refused', code, detail, facts);
const gone = (code: string, detail: string, facts?: Record<string, FactValue>): ProviderFault =>
  new ProviderFault('gone', code, detail, facts);

function append(world: World, sandbox: MockSandbox, event: ProviderEventName, atMs: number, facts: object): void {
  const { clock } = world.options;
  const { spec, lease } = sandbox;
  world.events.push({
    seq: world.events.length + 1,
    at_us: Math.round((clock.wallMs() - (clock.monotonicMs() - atMs)) * 1_000),
    event,
    sandbox: spec.sandbox,
    incarnation: spec.incarnation,
    seq_of_lease: lease.seq,
    paid_until_us: lease.paidUntilMs * 1_000,
    ran_ms: ranMs(sandbox, atMs),
    cpu_us: 0,
    ...facts,
  });
}

const tellFor =
  (world: World, sandbox: MockSandbox): Tell =>
  (event, atMs, facts) => {
    append(world, sandbox, event, atMs, facts);
    if (event === 'ended') keepMock(world.snapshots, sandbox, digestsOf(world), nowUs(world));
  };

function look(world: World): void {
  const { clock, marginMs = MARGIN_MS } = world.options;
  for (const sandbox of world.sandboxes.values()) settle(sandbox, clock, marginMs, tellFor(world, sandbox));
}

function sandboxOf(world: World, name: string): MockSandbox {
  const sandbox = world.sandboxes.get(name);
  if (!sandbox) throw gone('unknown_sandbox', `no sandbox ${name} on this machine`);
  return sandbox;
}

function runningOf(world: World, name: string, cause: string): MockSandbox {
  const sandbox = sandboxOf(world, name);
  if (sandbox.ended) throw gone('sandbox_ended', 'the sandbox has ended', sandbox.ended);
  if (sandbox.frozenAtMonotonicMs !== undefined) throw refuse('frozen', 'the sandbox is frozen');
  sandbox.lastActivityUs = nowUs(world);
  sandbox.lastActivity = cause;
  return sandbox;
}

function createdOf(world: World, sandbox: MockSandbox): Created {
  const { spec, startedAtUs } = sandbox;
  const machine = { image_version: spec.image, image_digest: digestsOf(world)[spec.image] ?? '' };
  const where = { isolation: 'mock', ...machine, boot_id: bootId(world) } as const;
  return {
    sandbox: spec.sandbox,
    incarnation: spec.incarnation,
    state: 'running',
    started_at_us: startedAtUs,
    ...where,
  };
}

function create(world: World, spec: SandboxSpec, ticket: Parameters<Provider['create']>[1]): Created {
  const { options } = world;
  const known = world.sandboxes.get(spec.sandbox);
  if (known?.spec.incarnation === spec.incarnation) {
    if (known.ended) throw gone('sandbox_ended', 'the sandbox has ended', known.ended);
    return createdOf(world, known);
  }
  if (known && !known.ended) {
    const facts = { live: known.spec.incarnation, asked: spec.incarnation };
    throw refuse('other_incarnation_live', 'another incarnation of this sandbox is live here', facts);
  }
  if (spec.incarnation <= (world.used.get(spec.sandbox) ?? 0)) {
    throw gone('incarnation_used', 'this incarnation has already lived on this machine');
  }
  const images = options.images ?? IMAGES;
  if (!images.includes(spec.image)) throw refuse('unknown_image', `no image ${spec.image}`, { asked: spec.image });
  checkMockEgress(spec);
  checkMockImage(spec, digestsOf(world));
  const lease = admit(ticket, options.leaseKey, spec, undefined, options.clock, options.marginMs ?? MARGIN_MS);
  world.used.set(spec.sandbox, spec.incarnation);
  const sandbox = newSandbox(spec, lease, options.clock);
  restoreMock(world.snapshots, sandbox);
  world.sandboxes.set(spec.sandbox, sandbox);
  append(world, sandbox, 'started', options.clock.monotonicMs(), {});
  return createdOf(world, sandbox);
}

function leaseCalls(world: World) {
  const { options } = world;
  const view = (sandbox: MockSandbox) => sandboxView(sandbox, options.clock);
  return {
    create: async (spec, ticket) => create(world, spec, ticket),
    renew: async (name, ticket) => {
      const sandbox = sandboxOf(world, name);
      if (sandbox.ended) throw gone('sandbox_ended', 'the sandbox has ended', sandbox.ended);
      if (sandbox.finish) throw refuse('finishing', 'no further ticket is taken: its end is announced');
      const { spec, lease } = sandbox;
      sandbox.lease = admit(ticket, options.leaseKey, spec, lease, options.clock, options.marginMs ?? MARGIN_MS);
      append(world, sandbox, 'renewed', options.clock.monotonicMs(), {});
      look(world);
      return view(sandbox);
    },
    finish: async (name, order) => {
      const sandbox = sandboxOf(world, name);
      if (sandbox.spec.incarnation !== order.incarnation) {
        throw refuse('other_incarnation', 'this is another incarnation', { here: sandbox.spec.incarnation });
      }
      const isSooner = !sandbox.finish || (order.at_us ?? 0) < (sandbox.finish.at_us ?? 0);
      if (!sandbox.ended && isSooner) sandbox.finish = order;
      look(world);
      return view(sandbox);
    },
    get: async (name) => view(sandboxOf(world, name)),
    list: async () => [...world.sandboxes.values()].map(view),
    events: async (after) => {
      await yieldOnce();
      const events = world.events.slice(after);
      return { boot_id: bootId(world), events, next_after: after + events.length, first_seq: 1 };
    },
  } satisfies Partial<Provider>;
}

function execOf(world: World, name: string, execId: string): MockExec {
  const exec = sandboxOf(world, name).execs.get(execId);
  if (!exec) throw gone('unknown_exec', `no command ${execId} in this sandbox`);
  return exec;
}

function startExec(world: World, name: string, spec: ExecSpec): MockExec {
  const known = world.sandboxes.get(name)?.execs.get(spec.exec_id);
  if (known) return known;
  const sandbox = runningOf(world, name, 'exec');
  const secrets = secretEnv(sandbox.secrets, spec.secrets ?? [], spec.sensitive === true);
  const env = { HOME, ...mockEgressEnv(sandbox), ...spec.env, ...secrets };
  const cwd = spec.cwd ?? HOME;
  const shell = {
    env,
    cwd,
    stdin: Buffer.from(spec.stdin ?? []),
    reach: (url: string) => mockReach(sandbox, url, nowUs(world)),
    file: (path: string) => sandbox.files.get(at(cwd, path)),
  };
  const steps = stepsOf(spec.argv, shell);
  const { clock } = world.options;
  const exec: MockExec = {
    id: spec.exec_id,
    argv: spec.argv,
    steps: redactSteps(sandbox.secrets, steps ?? []),
    startedAtRanMs: ranMs(sandbox, clock.monotonicMs()),
    startedAtUs: nowUs(world),
    endedAtUs: null,
    end: null,
    chunks: [],
    total: { 1: 0, 2: 0 },
    timeoutMs: spec.timeout_ms,
    isStdinOpen: spec.stdin_open === true || spec.tty !== undefined,
    positions: new Map(),
    tty: spec.tty ?? null,
  };
  sandbox.execs.set(spec.exec_id, exec);
  append(world, sandbox, 'exec_started', clock.monotonicMs(), { exec_id: exec.id });
  if (!steps) endNow(world, sandbox, exec, { end: 'not_started', code: 'ENOENT' });
  // `cat` on an open stdin ends when that is closed, see writeStdin.
  if (exec.isStdinOpen) exec.steps = exec.steps.filter((step) => step.code === undefined);
  look(world);
  return exec;
}

function endNow(world: World, sandbox: MockSandbox, exec: MockExec, end: NonNullable<MockExec['end']>): void {
  const facts = { exec_id: exec.id, ...end };
  endExec(exec, end, nowUs(world), () =>
    append(world, sandbox, 'exec_ended', world.options.clock.monotonicMs(), facts),
  );
}

function outputOf(exec: MockExec, after: number, bytesMax: number) {
  const chunks: MockExec['chunks'] = [];
  let cursor = after;
  let room = bytesMax;
  for (const chunk of exec.chunks) {
    const skip = cursor - chunk.cursor;
    if (skip >= chunk.bytes.length || room <= 0) continue;
    const bytes = chunk.bytes.subarray(skip, skip + room);
    chunks.push({ stream: chunk.stream, cursor, bytes });
    cursor += bytes.length;
    room -= bytes.length;
  }
  const isAtEnd = exec.end !== null && cursor >= exec.total[1] + exec.total[2];
  return { ...execView(exec), chunks, next_cursor: cursor, first_cursor: 0, dropped_bytes: 0, at_end: isAtEnd };
}

function execCalls(world: World) {
  return {
    startExec: async (name, spec) => execView(startExec(world, name, spec)),
    getExec: async (name, execId) => execView(execOf(world, name, execId)),
    listExecs: async (name) => [...sandboxOf(world, name).execs.values()].map(execView),
    output: async (name, execId, { after = 0, maxBytes = OUTPUT_BYTES_DEFAULT } = {}) =>
      outputOf(execOf(world, name, execId), after, maxBytes),
    signalExec: async (name, execId, signal) => {
      const exec = execOf(world, name, execId);
      if (exec.end) throw refuse('not_running', 'the command has ended');
      endNow(world, runningOf(world, name, 'exec'), exec, { end: 'signaled', signal });
      return execView(exec);
    },
    writeStdin: async (name, execId, bytes, end, place = undefined) => {
      const exec = execOf(world, name, execId);
      const sandbox = runningOf(world, name, 'exec');
      const position = typeInto(exec, bytes, place);
      if (end) endNow(world, sandbox, exec, { end: 'exited', code: 0 });
      return { position };
    },
    resizeExec: async (name, execId, size) => {
      const exec = execOf(world, name, execId);
      runningOf(world, name, 'exec');
      resize(exec, size);
      return execView(exec);
    },
  } satisfies Partial<Provider>;
}

const descriptorOf = (world: World): Descriptor => ({
  isolation: 'mock',
  terminals: true,
  enforcement: 'freeze',
  quotas: ['disk'],
  egress: MOCK_EGRESS,
  images: world.options.images ?? IMAGES,
  image_digests: digestsOf(world),
  totals: { cpu_millis: 64_000, memory_mib: 65_536, disk_mib: 1_048_576 },
  sandboxes_max: 256,
});

/** Every call looks at the clock first, and fails while the machine is out of reach. */
function guarded<T extends object>(world: World, calls: T): T {
  const wrapped = Object.entries(calls).map(([name, call]) => [
    name,
    async (...given: unknown[]) => {
      look(world);
      if (!world.isReachable) throw new ProviderFault('unreachable', 'unreachable', 'the machine does not answer');
      return call(...given);
    },
  ]);
  return Object.fromEntries(wrapped) as T;
}

function restart(world: World): void {
  const { clock } = world.options;
  look(world);
  for (const sandbox of world.sandboxes.values()) {
    if (!sandbox.ended) endSandbox(sandbox, clock, 'sandbox_lost', clock.monotonicMs(), () => {});
  }
  world.sandboxes.clear();
  world.events.length = 0;
  world.boot += 1;
}

export function mockProvider(options: MockProviderOptions): MockProvider {
  const world: World = {
    options,
    sandboxes: new Map(),
    used: new Map(),
    snapshots: new Map(),
    events: [],
    boot: 1,
    isReachable: true,
  };
  const calls: Provider = guarded(world, {
    descriptor: async () => descriptorOf(world),
    attestation: async () => ({
      mode: 'standard',
      image_version: descriptorOf(world).images[0] as string,
      measurement: null,
    }),
    ...leaseCalls(world),
    ...execCalls(world),
    ...fileCalls((name, cause) => runningOf(world, name, cause)),
    ...pathCalls((name, cause) => runningOf(world, name, cause)),
    ...watchCalls(
      (name, cause) => runningOf(world, name, cause),
      (name) => sandboxOf(world, name),
    ),
    ...secretCalls({
      bootId: () => bootId(world),
      nowUs: () => nowUs(world),
      sandbox: (name) => sandboxOf(world, name),
      running: (name) => runningOf(world, name, 'secrets'),
    }),
    ...snapshotCalls(world.snapshots, {
      nowUs: () => nowUs(world),
      digests: () => digestsOf(world),
      sandbox: (name) => sandboxOf(world, name),
    }),
    ...egressCalls((name) => sandboxOf(world, name)),
    openPort: async (name, port) => openMockPort(runningOf(world, name, 'port'), port),
    close: async () => {},
  });
  return {
    ...calls,
    look: () => look(world),
    restart: () => restart(world),
    get isReachable() {
      return world.isReachable;
    },
    set isReachable(value) {
      world.isReachable = value;
    },
  };
}
