/**
 * Live topics: what happens, while it happens.
 * Promise: no event is missed or told twice across lost connections; a platform that stays away is told as UnreachableError.
 */
import type { Event } from '@tallystick/proto';
import { createLiveClient } from '@tallystick/surface/client';
import { type Connection, UnreachableError } from './services.ts';

export { LiveProblem } from '@tallystick/surface/client';

export interface FollowOptions {
  /** Go on behind this cursor; 0n: from the beginning; absent: only what is new. */
  after?: bigint;
  /** The epoch under which the cursor was given. */
  epoch?: string;
  /** Ends the iteration. */
  signal?: AbortSignal;
  /** The connection was lost, or stands again. */
  onState?: (state: 'connecting' | 'subscribed' | 'caught_up') => void;
  /** How long the platform may stay away; absent: LOST_MS_MAX. */
  lostMsMax?: number;
}

export interface Live {
  /**
   * Events of `account`, `job/<id>`, `sandbox/<id>` or `exec/<sandbox id>/<exec id>`, in order.
   * @errors LiveProblem when the topic or the key is refused; UnreachableError
   * @example for await (const event of tally.live.follow(`job/${job.id}`, { after: 0n })) console.log(event.cursor);
   */
  follow(topic: string, options?: FollowOptions): AsyncIterable<Event>;
}

/** How long a topic waits for a platform that went away. */
export const LOST_MS_MAX = 60_000;

/** One socket for all topics; it is open while there are any. @internal */
export function liveOf({ baseUrl, apiKey = '' }: Connection): Live {
  const client = createLiveClient({ url: baseUrl, token: apiKey });
  const { origin } = new URL(baseUrl);
  return {
    async *follow(topic, options = {}) {
      using patience = patienceWith(origin, options.lostMsMax ?? LOST_MS_MAX);
      const signal = options.signal ? AbortSignal.any([options.signal, patience.signal]) : patience.signal;
      const onState: NonNullable<FollowOptions['onState']> = (state) => {
        if (state === 'connecting') patience.start();
        else patience.stop();
        options.onState?.(state);
      };
      const { after, epoch } = options;
      const place = { ...(after === undefined ? {} : { after }), ...(epoch === undefined ? {} : { epoch }) };
      yield* client.topic(topic, { ...place, signal, onState });
    },
  };
}

/** Aborts when it was started and not stopped in time; begins started. */
function patienceWith(origin: string, lostMsMax: number) {
  const controller = new AbortController();
  const giveUp = (): void => controller.abort(new UnreachableError(origin, `no live connection for ${lostMsMax} ms`));
  let timer = setTimeout(giveUp, lostMsMax);
  const stop = (): void => clearTimeout(timer);
  return {
    signal: controller.signal,
    stop,
    start(): void {
      stop();
      timer = setTimeout(giveUp, lostMsMax);
    },
    [Symbol.dispose]: stop,
  };
}
