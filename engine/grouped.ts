/**
 * Many small questions as few large ones: what is asked while an answer is under way goes together in the next one.
 * Promise: nothing waits for company, only for the answer before; what fails in company is asked once more alone.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Fault } from './fault.ts';

/** Asks about all items at once; the answers stand in their order. */
export type AskMany<T, R> = (items: readonly T[]) => Promise<readonly R[]>;

interface Waiting<T, R> {
  item: T;
  answered: PromiseWithResolvers<R>;
}

/** @param itemsMax items of one question at most */
export function grouped<T, R>(askMany: AskMany<T, R>, itemsMax: number): (item: T) => Promise<R> {
  const queue: Waiting<T, R>[] = [];
  let isAsking = false;
  const run = async (): Promise<void> => {
    isAsking = true;
    await nextTurn(); // let the callers of this turn queue too
    while (queue.length > 0) await askTogether(askMany, queue.splice(0, itemsMax));
    isAsking = false;
  };
  return (item) => {
    const answered = Promise.withResolvers<R>();
    queue.push({ item, answered });
    if (!isAsking) void run();
    return answered.promise;
  };
}

/** Never rejects. One bad item must not stop the others; when the database is away, asking again is the caller's part. */
async function askTogether<T, R>(askMany: AskMany<T, R>, group: readonly Waiting<T, R>[]): Promise<void> {
  try {
    const answers = await askMany(group.map(({ item }) => item));
    group.forEach(({ answered }, i) => {
      answered.resolve(answers[i]!);
    });
  } catch (error) {
    if (error instanceof Fault || group.length === 1) for (const { answered } of group) answered.reject(error);
    else for (const waiting of group) await askTogether(askMany, [waiting]);
  }
}
