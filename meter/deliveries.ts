/**
 * What the meter carries to machines: create, renew, finish, each taken from the outbox.
 * Promise: delivered at least once and in order per sandbox; the machine's own names make a repetition harmless.
 */
import type { Delivery, Engine, Handler, KeepTicket, StatusOf } from '@tallystick/engine';
import {
  type EgressPolicy,
  type Provider,
  ProviderFault,
  type SandboxSpec,
  type SnapshotRef,
} from '@tallystick/engine/adapters/provider';
import type { Envelope, JsonObject, SigningKey } from '@tallystick/kernel';
import type { Logger } from 'pino';
import { reportCreated, reportStartFailed } from './reports.ts';
import { reportDamaged } from './snapshots.ts';
import { signSale } from './tickets.ts';

const PIDS_MAX = 256;
const CALLER_REFUSED = new Set(['bad_caller_ticket', 'forbidden']);

export interface Deliveries {
  engine: Engine;
  provider: Provider;
  /** Name under which the provider's sandboxes and reports are known. */
  providerName: string;
  leaseKey: SigningKey;
  keepTicket: KeepTicket;
  statusOf: StatusOf;
  log: Logger;
}

/** Starts take long: they are carried apart, so that they never hold up a lease. */
export const startHandlers = (deliveries: Deliveries): Record<string, Handler> => ({
  'create-sandbox': (delivery) => create(deliveries, delivery),
});

export const leaseHandlers = (deliveries: Deliveries): Record<string, Handler> => ({
  'renew-lease': (delivery) => renew(deliveries, delivery),
  'finish-sandbox': (delivery) => finish(deliveries, delivery),
  'set-egress': (delivery) => replaceEgress(deliveries, delivery),
});

async function create(deliveries: Deliveries, delivery: Delivery): Promise<void> {
  if (await isOver(deliveries, delivery)) return;
  const { provider } = deliveries;
  const spec = specOf(delivery.body);
  const ticket = await keptTicket(deliveries, delivery);
  try {
    await reportCreated(deliveries, await provider.create(spec, ticket));
  } catch (fault) {
    if (!isFinal(fault)) throw fault;
    // `gone` means that it lived here before: its own report, or the sweep, says how it ended and what it used
    if (fault.kind !== 'refused') return;
    deliveries.log.warn({ sandbox: spec.sandbox, code: fault.code, what: fault.message }, 'a sandbox did not start');
    await reportStartFailed(deliveries, spec, fault.code);
    if (spec.from && fault.code === 'snapshot_digest_mismatch')
      await reportDamaged(deliveries, spec.from.snapshot, fault.code);
  }
}

async function renew(deliveries: Deliveries, delivery: Delivery): Promise<void> {
  if (await isOver(deliveries, delivery)) return;
  const { provider } = deliveries;
  const ticket = await keptTicket(deliveries, delivery);
  await settled(deliveries, delivery, () => provider.renew(String(delivery.body['sandbox']), ticket));
}

async function finish(deliveries: Deliveries, delivery: Delivery): Promise<void> {
  const { sandbox, incarnation, reason, at_us } = delivery.body;
  const order = {
    incarnation: Number(incarnation),
    reason: String(reason),
    at_us: at_us === null || at_us === undefined ? null : Number(at_us),
  };
  await settled(deliveries, delivery, () => deliveries.provider.finish(String(sandbox), order));
}

/** The api has carried it there already, unless the machine was silent: a machine takes none twice. */
async function replaceEgress(deliveries: Deliveries, delivery: Delivery): Promise<void> {
  const { sandbox, incarnation, egress } = delivery.body;
  const order = { incarnation: Number(incarnation), ...(egress as unknown as EgressPolicy) };
  await settled(deliveries, delivery, () => deliveries.provider.setEgress(String(sandbox), order));
}

/** Its money has been parted, so a ticket that waited for a silent machine would let it run unpaid. */
async function isOver({ statusOf }: Deliveries, { body }: Delivery): Promise<boolean> {
  return (await statusOf(`sandbox:${String(body['sandbox'])}`)) === 'ended';
}

/** Kept before it leaves, so that an export never lacks a ticket that a machine obeyed. */
async function keptTicket({ leaseKey, keepTicket }: Deliveries, delivery: Delivery): Promise<Envelope> {
  const { ticket, envelope } = signSale(leaseKey, delivery);
  await keepTicket({ sandbox: ticket.sandbox, seq: ticket.seq, pos: delivery.receipt.pos, envelope });
  return envelope;
}

/** What the machine refuses or no longer has will not change by repetition: its own report says how it ended. */
async function settled(deliveries: Deliveries, delivery: Delivery, carry: () => Promise<unknown>): Promise<void> {
  try {
    await carry();
  } catch (fault) {
    if (!isFinal(fault)) throw fault;
    deliveries.log.warn(
      { delivery: delivery.id, topic: delivery.topic, code: fault.code },
      'the machine refused a delivery',
    );
  }
}

/** A machine that does not believe the caller says nothing of the sandbox: that is tried again. */
const isFinal = (fault: unknown): fault is ProviderFault =>
  fault instanceof ProviderFault && fault.kind !== 'unreachable' && !CALLER_REFUSED.has(fault.code);

/** What it starts from, and what becomes of its disk. */
function startOf({ image_digest, from, keep_as }: JsonObject): Pick<SandboxSpec, 'image_digest' | 'from' | 'keep_as'> {
  return {
    ...(image_digest ? { image_digest: String(image_digest) } : {}),
    ...(from ? { from: from as unknown as SnapshotRef } : {}),
    ...(keep_as ? { keep_as: String(keep_as) } : {}),
  };
}

function specOf(body: JsonObject): SandboxSpec {
  return {
    sandbox: String(body['sandbox']),
    incarnation: Number(body['incarnation']),
    image: String(body['image']),
    cpu_millis: Number(body['cpu_millis']),
    memory_mib: Number(body['ram_mib']),
    disk_mib: Number(body['disk_mib']),
    pids_max: PIDS_MAX,
    grace_ms: Number(body['grace_ms']),
    ...startOf(body),
    ...(body['egress'] ? { egress: body['egress'] as unknown as EgressPolicy } : {}),
  };
}
