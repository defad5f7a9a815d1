/**
 * An engine with somebody who hears each command before it does.
 * Promise: what is not answered by them goes on as it would have.
 */
import type { Command } from '@tallystick/kernel';
import type { Engine } from '../commit/engine.ts';
import type { Outcome } from '../outcome.ts';

/** Of a command that was not even looked at: so many wait. */
export const NOT_TAKEN: Outcome = {
  rejection: 'LIMITED',
  replayed: false,
  pos: -1,
  receiptId: '',
  atUs: 0n,
  facts: {},
};

/** `before` answers instead of the engine, or with nothing, or rejects as a program does that dies there. */
export const overhearing = (engine: Engine, before: (command: Command) => Promise<Outcome | undefined>): Engine =>
  new Proxy(engine, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name);
      if (name === 'execute')
        return async (command: Command): Promise<Outcome> => (await before(command)) ?? target.execute(command);
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
