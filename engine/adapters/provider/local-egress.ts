/**
 * What the local provider asks its warden about ways out.
 * Promise: it carries policies and decisions, and makes none.
 */
import type { Provider } from './port.ts';
import type { EgressPage, EgressView } from './port-egress.ts';

interface Ask {
  verb: 'read' | 'egress';
  sandbox: string;
  method: 'GET' | 'PUT';
  path: string;
  query?: Record<string, string | number | undefined>;
  json?: object;
  waitMs?: number;
}

type Answer = <T>(ask: Ask) => Promise<T>;

export function egressCalls(answer: Answer, one: (sandbox: string) => string) {
  return {
    setEgress: (sandbox, order) =>
      answer<EgressView>({ verb: 'egress', sandbox, method: 'PUT', path: `${one(sandbox)}/egress`, json: order }),
    egress: (sandbox, after = 0, waitMs = 0) => {
      const query = { after, wait_ms: waitMs };
      return answer<EgressPage>({
        verb: 'read',
        sandbox,
        method: 'GET',
        path: `${one(sandbox)}/egress`,
        query,
        waitMs,
      });
    },
  } satisfies Partial<Provider>;
}
