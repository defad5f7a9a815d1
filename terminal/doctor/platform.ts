/**
 * Probes of this program, the platform it talks to, and what it keeps.
 * Promise: the API key is used only to ask for the balance, and shown nowhere.
 */

import { join } from 'node:path';
import { connect } from '@tallystick/sdk';
import type { Io } from '../io.ts';
import { type Address, findApiKey, homeFolder, loginAdvice, walletFile } from '../session.ts';
import { loosenessOf } from '../wallet/private-files.ts';
import { bad, good, type Outcome, open, type Probe, probe } from './probe.ts';

const NODE_MIN = [24, 15] as const;
const REACH_MS_MAX = 5_000;
/** A Date header has whole seconds, and a login message may be a minute off. */
const SKEW_MS_MAX = 30_000;
const START_ADVICE = 'Start it with `npm start` in the clone, or give its address: --url URL.';

/** Is this Node new enough? */
export const nodeProbe = (): Probe =>
  probe('node', 'Install Node 24.', async () => {
    const [major, minor] = process.versions.node.split('.').map(Number) as [number, number];
    const isEnough = major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1]);
    if (isEnough) return good(process.versions.node);
    return bad(
      `${process.versions.node} is older than ${NODE_MIN.join('.')}`,
      'Run `npm ci --ignore-scripts` in the clone, or install Node 24.',
    );
  });

/** Does the platform answer, is it ready, do the clocks agree, is the login good? */
export function platformProbes(io: Io, find: () => Promise<Address>): Probe[] {
  const ask = async (path: string): Promise<Response> => {
    const address = await find();
    return io.fetch(address.url + path, { signal: AbortSignal.timeout(REACH_MS_MAX) }).catch((fault: Error) => {
      throw new Error(
        `${address.url} does not answer: ${(fault.cause as Error | undefined)?.message ?? fault.message}`,
      );
    });
  };
  return [
    probe('platform reachable', START_ADVICE, async () => {
      const answer = await ask('/healthz');
      await answer.arrayBuffer();
      return answer.ok ? good(new URL(answer.url).origin) : bad(`/healthz answers ${answer.status}`, START_ADVICE);
    }),
    probe('platform ready', START_ADVICE, async () => readinessOf(await ask('/readyz'))),
    probe('clock', START_ADVICE, async () => {
      const askedMs = io.nowMs();
      const answer = await ask('/readyz');
      const { at } = (await answer.json().catch(() => ({}))) as { at?: string };
      return skewOf(at ?? answer.headers.get('date'), askedMs, io.nowMs());
    }),
    probe('login', 'Log in again: tally login.', async () => {
      const address = await find();
      const apiKey = await findApiKey(io, address);
      if (!apiKey) return open(`no login for ${address.url}`, loginAdvice(address));
      const { principal } = await connect({ baseUrl: address.url, apiKey, fetch: io.fetch }).balance();
      return good(principal);
    }),
  ];
}

async function readinessOf(answer: Response): Promise<Outcome> {
  const told = (await answer.json().catch(() => ({}))) as { checks?: Record<string, string> };
  const checks = Object.entries(told.checks ?? {});
  const missing = checks.filter(([, outcome]) => outcome !== 'ok').map(([name, outcome]) => `${name}: ${outcome}`);
  if (answer.ok) return good(checks.map(([name]) => name).join(', ') || 'ready');
  return bad(
    missing.join('; ') || `/readyz answers ${answer.status}`,
    'See the logs of the platform: logs in its data folder (.tally in its clone, or what --data named).',
  );
}

/** The time that receipts have (the database's), or else the Date header, against our clock in the middle of the call. */
export function skewOf(header: string | null, askedMs: number, answeredMs: number): Outcome {
  const theirs = header === null ? Number.NaN : Date.parse(header);
  if (Number.isNaN(theirs)) return open('the platform does not tell its time');
  // a header's moment is anywhere in its second
  const roundedMs = /\dT\d/.test(header!) ? 0 : 500;
  const skewMs = Math.round((askedMs + answeredMs) / 2 - (theirs + roundedMs));
  const text = `${Math.abs(skewMs) < 1000 ? 'within a second' : `${(Math.abs(skewMs) / 1000).toFixed(0)} s ${skewMs > 0 ? 'ahead' : 'behind'}`} of the platform's`;
  if (Math.abs(skewMs) <= SKEW_MS_MAX) return good(text);
  return bad(text, 'Set this clock (NTP): a login message is refused when its time is off.');
}

/** Can only their owner read what we keep? */
export function keepingProbes(io: Io): Probe[] {
  const files: [string, string][] = [
    ['home folder', homeFolder(io)],
    ['settings', join(homeFolder(io), 'config.json')],
    ['wallet', walletFile(io)],
  ];
  return files.map(([name, path]) =>
    probe(name, 'See the path and its permissions.', async () => {
      try {
        const looseness = await loosenessOf(path);
        return looseness ? bad(`${path} ${looseness.what}`, looseness.suggestion) : good(`${path} is private`);
      } catch (fault) {
        if ((fault as NodeJS.ErrnoException).code !== 'ENOENT') throw fault;
        return open(`${path} is not there yet`, name === 'wallet' ? 'Made by: tally login --new' : '');
      }
    }),
  );
}
