/**
 * A caller's sandbox whose machine works: it has started, and does not stand still.
 * Promise: whoever lacks the money is told so before anything is receipted; while money or a paid minute is on its way to the machine,
 * the caller waits for it.
 */
import type { Engine } from '@tallystick/engine';
import { type SandboxState, unfunded } from '@tallystick/hosting';
import { type JsonObject, microsIn, type Rejection } from '@tallystick/kernel';
import { type Call, refuse } from '@tallystick/surface';
import { providerUnreachable } from '../provider-refusal.ts';
import { availableMicros } from '../quotes/quotes.ts';
import { amountsOf, fundFirst, type Lack, type Till, tellPaid } from '../quotes/till.ts';
import { nextCommit, readySandbox } from './ready-sandbox.ts';

/** From the money to the machine that goes on. */
const THAW_MS_MAX = 10_000;

/**
 * @param till where the money that is missing can be paid for this request; absent: it is told without an offer
 * @errors throws NOT_FOUND, SANDBOX_UNFUNDED, what a payment is refused with, PROVIDER_UNREACHABLE when it does not go on in time;
 * whatever else the sandbox is by then, the rule itself tells
 */
export async function workingSandbox(engine: Engine, call: Call, id: string, till?: Till): Promise<SandboxState> {
  const giveUpAtMs = performance.now() + THAW_MS_MAX;
  for (let hasLacked = call.paymentSignature !== undefined; ; ) {
    const state = await readySandbox(engine, call, id);
    const lack = unfunded(state, engine.nowUs());
    if (!lack && state.status !== 'frozen') {
      if (till && hasLacked) await tellPaid(till, call);
      return state;
    }
    if (lack) await checkFunds(engine, call, lack, till);
    hasLacked ||= lack !== undefined;
    if (performance.now() >= giveUpAtMs || call.signal.aborted) throw providerUnreachable();
    await nextCommit(engine);
  }
}

/** The account covers the next step, by now or by a payment for this request. @errors as `workingSandbox` */
async function checkFunds(engine: Engine, call: Call, { facts }: Rejection, till: Till | undefined): Promise<void> {
  const lack: Lack = { code: 'SANDBOX_UNFUNDED', facts: facts as JsonObject };
  const requiredMicros = microsIn(lack.facts, 'required_micros');
  const isStill = async (): Promise<boolean> =>
    unfunded(await readySandbox(engine, call, String(lack.facts['sandbox'])), engine.nowUs()) !== undefined;
  if (till) return fundFirst(till, call, { lack, requiredMicros, isStill });
  const shortMicros = requiredMicros - (await availableMicros(engine, call.principal!.id));
  if (shortMicros > 0n && (await isStill()))
    throw refuse(lack.code, { ...lack.facts, ...amountsOf(requiredMicros, shortMicros) });
}
