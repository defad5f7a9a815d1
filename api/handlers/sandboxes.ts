/**
 * Sandboxes over the API: from requests to commands, from states to messages.
 * Promise: nothing is decided here; a machine is only ever touched after the command that pays for it is receipted.
 */
import { type Engine, listStreams, readStream } from '@tallystick/engine';
import type { Provider } from '@tallystick/engine/adapters/provider';
import type { SandboxState } from '@tallystick/hosting';
import { dayOf, type JsonObject } from '@tallystick/kernel';
import { type CreateSandboxRequest, OnEnd, SandboxService, SecurityMode } from '@tallystick/proto';
import { type Call, implement, refuse } from '@tallystick/surface';
import { freshId } from '../ids.ts';
import { commandFrom, executeFor } from '../outcome.ts';
import { ownSnapshot } from '../own-snapshot.ts';
import { nextToken, pageOf } from '../page.ts';
import { executeCharging, type Till } from '../quotes/till.ts';
import { egressWord } from '../views/egress.ts';
import { sandboxMessage } from '../views/sandbox.ts';
import { numberOrNull, ownJob } from './jobs.ts';

const SANDBOXES_PER_PAGE = 50;
const CPU_MILLIS_DEFAULT = 1_000;
const RAM_MIB_DEFAULT = 512;
const DISK_MIB_DEFAULT = 512;
const IMAGE_DEFAULT = 'sandbox-base:v1.0.0';
const FIRST_INCARNATION = 1;

export interface SandboxOptions {
  engine: Engine;
  provider: Provider;
  providerName: string;
  quantumMsDefault: number;
  graceMs: number;
  /** Absent where nobody can pay for a request. */
  till: Till | undefined;
}

export const sandboxHandlers = (options: SandboxOptions) => {
  const { engine } = options;
  return implement(SandboxService, {
    async createSandbox(request, call) {
      await ownJob(engine, call, request.jobId);
      const { isolation, image_digests, egress } = await options.provider.descriptor();
      const image = request.image || IMAGE_DEFAULT;
      const body = {
        job: request.jobId,
        payer: call.principal!.id,
        day: dayOf(engine.nowUs()),
        provider: options.providerName,
        isolation,
        ...(request.isolation === '' ? {} : { asked_isolation: request.isolation }),
        incarnation: FIRST_INCARNATION,
        label: request.label,
        image,
        image_digest: image_digests[image] ?? '',
        ...(await startOf(engine, call, request)),
        ...egressOf(request, egress),
        security_mode: request.securityMode === SecurityMode.CONFIDENTIAL ? 'confidential' : 'standard',
        cpu_millis: request.cpuMillis ?? CPU_MILLIS_DEFAULT,
        ram_mib: request.ramMib ?? RAM_MIB_DEFAULT,
        max_spend_micros: request.maxSpendMicros === undefined ? null : String(request.maxSpendMicros),
        ttl_ms: numberOrNull(request.ttlMs),
        idle_timeout_ms: numberOrNull(request.idleTimeoutMs),
        quantum_ms: numberOrNull(request.quantumMs),
        default_quantum_ms: options.quantumMsDefault,
        grace_ms: options.graceMs,
      };
      return buySandbox(options, call, body);
    },
    async listSandboxes(request, call) {
      const page = pageOf(request, SANDBOXES_PER_PAGE);
      const ofJob = request.jobId === '' ? {} : { filter: { job: request.jobId } };
      const rows = await listStreams(engine, { kind: 'sandbox', owner: call.principal!.id, ...page, ...ofJob });
      const sandboxes = rows.map(({ state, receiptId }) => sandboxMessage(state as unknown as SandboxState, receiptId));
      return { sandboxes, nextPageToken: nextToken(page, rows.length, rows.at(-1)?.createdPos) };
    },
    async getSandbox({ id }, call) {
      const { state, receiptId } = await ownSandbox(engine, call, id);
      return sandboxMessage(state, receiptId);
    },
    async extendSandbox({ id, addSpendMicros, addTtlMs }, call) {
      const { state } = await ownSandbox(engine, call, id);
      const add = {
        add_spend_micros: addSpendMicros === undefined ? null : String(addSpendMicros),
        add_ttl_ms: numberOrNull(addTtlMs),
      };
      return changeSandbox(engine, call, id, 'ExtendSandbox', { job: state.job, ...add });
    },
    async touchSandbox({ id, reason, forMs }, call) {
      await ownSandbox(engine, call, id);
      return changeSandbox(engine, call, id, 'TouchSandbox', { reason, for_ms: numberOrNull(forMs) });
    },
    async stopSandbox({ id }, call) {
      await ownSandbox(engine, call, id);
      return changeSandbox(engine, call, id, 'StopSandbox', {});
    },
    async destroySandbox({ id }, call) {
      const { state, receiptId } = await ownSandbox(engine, call, id);
      // one that has ended, or is about to, leaves nothing behind
      if (state.status === 'ended' || state.status === 'stopping') return sandboxMessage(state, receiptId);
      return changeSandbox(engine, call, id, 'StopSandbox', {});
    },
  });
};

/** What was asked about the disk; one that starts from a snapshot and asks for no size gets the snapshot's. */
async function startOf(engine: Engine, call: Call, request: CreateSandboxRequest): Promise<JsonObject> {
  const { snapshotId, diskMib, onEnd, imageDigest } = request;
  const from = snapshotId === '' ? undefined : (await ownSnapshot(engine, call, snapshotId)).state;
  return {
    disk_mib: diskMib ?? from?.disk_mib ?? DISK_MIB_DEFAULT,
    ...(from ? { snapshot: from.id } : {}),
    ...(onEnd === OnEnd.SNAPSHOT ? { on_end: 'snapshot' } : {}),
    ...(imageDigest === '' ? {} : { asked_image_digest: imageDigest }),
  };
}

/** What was asked about ways out, and what the provider offers. */
const egressOf = ({ egress }: CreateSandboxRequest, offered: string[]): JsonObject =>
  egress ? { egress: { mode: egressWord(egress.mode), allow: egress.allow }, egress_offered: offered } : {};

async function buySandbox({ engine, till }: SandboxOptions, call: Call, body: JsonObject) {
  const command = commandFrom(call, { stream: `sandbox:${freshId('sbx')}`, type: 'OpenSandbox', body });
  const { answer, receiptId } = await (till ? executeCharging(till, call, command) : executeFor(engine, call, command));
  return sandboxMessage(answer['sandbox'] as unknown as SandboxState, receiptId);
}

async function changeSandbox(engine: Engine, call: Call, id: string, type: string, body: JsonObject) {
  const { answer, receiptId } = await executeFor(
    engine,
    call,
    commandFrom(call, { stream: `sandbox:${id}`, type, body }),
  );
  return sandboxMessage(answer['sandbox'] as unknown as SandboxState, receiptId);
}

/** @errors throws NOT_FOUND also when it is somebody else's. */
export async function ownSandbox(
  engine: Engine,
  call: Call,
  id: string,
): Promise<{ state: SandboxState; receiptId: string }> {
  const head = await readStream(engine, `sandbox:${id}`);
  if (!head || head.owner !== call.principal!.id) throw refuse('NOT_FOUND', {}, `there is no sandbox ${id} for you`);
  return { state: head.state as unknown as SandboxState, receiptId: head.receiptId };
}
