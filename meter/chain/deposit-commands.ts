/**
 * Deposits as the ledger knows them, and how a watcher asks it to change them.
 * Promise: a command that was not even looked at is a Fault; the same one asked again changes nothing.
 */
import { type Engine, Fault, type Outcome, PAGE_MAX, readStream, streamsOfStatus } from '@tallystick/engine';
import type { Chain } from '@tallystick/engine/adapters/chain';
import type { JsonObject } from '@tallystick/kernel';
import { type DepositState, deposit, depositStream } from '@tallystick/treasury';

/** Whoever comes first decides the details; they are the same for everybody who looks at the same block. */
const ANY_BODY = '0'.repeat(64);
/** Somebody has it, or it waits for its payer. */
export const SETTLED: readonly string[] = ['credited', 'parked'];

/** A deposit and how often it changed: part of every key, so that what happens again is a new command. */
export type Known = DepositState & { version: number };

export class DepositCommands {
  readonly #engine: Engine;
  readonly #rail: string;

  constructor({ engine, chain }: { engine: Engine; chain: Chain }) {
    this.#engine = engine;
    this.#rail = chain.key;
  }

  async find(id: string): Promise<Known> {
    const found = await readStream(this.#engine, depositStream(id));
    if (!found) return { ...deposit.initial, id, version: 0 };
    return { ...(found.state as unknown as DepositState), version: found.version };
  }

  /** Newest first, page by page while `goesOn` says so. */
  async ofStatus(status: string, goesOn: (page: DepositState[]) => boolean): Promise<DepositState[]> {
    const found: DepositState[] = [];
    for (let after: number | undefined; ; ) {
      const from = after === undefined ? {} : { after };
      const rows = await streamsOfStatus(this.#engine, { kind: 'deposit', status, limit: PAGE_MAX, ...from });
      const page = rows.map(({ state }) => state as unknown as DepositState).filter(({ rail }) => rail === this.#rail);
      found.push(...page);
      after = rows.at(-1)?.createdPos;
      if (rows.length < PAGE_MAX || after === undefined || !goesOn(page)) return found;
    }
  }

  /** @errors rejects with Fault when so many commands wait that this one was not taken: it left no trace */
  async ask(stream: string, type: string, key: string, body: JsonObject): Promise<Outcome> {
    const outcome = await this.#engine.execute({
      principal: 'platform',
      key: `${stream}:${type}:${key}`,
      fingerprint: ANY_BODY,
      stream,
      type,
      body,
    });
    if (outcome.rejection === 'LIMITED') throw new Fault(`${type} of ${stream} was not taken: too many commands wait`);
    return outcome;
  }
}
