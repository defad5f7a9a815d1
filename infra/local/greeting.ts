/**
 * What `npm start` says when everything is up.
 * Promise: every address is one that answers, and every command can be typed as it stands.
 */
import type { Platform } from './platform.ts';

export interface GreetingOptions {
  /** The data folder is the one in which `tally` looks by itself. */
  isDefaultFolder: boolean;
}

type Facts = Pick<Platform, 'url' | 'portsUrl' | 'database' | 'isolation' | 'money' | 'isFoundAgain'>;

/** How an account comes to money here. */
const MONEY: Record<Facts['money'], [command: string, why: string][]> = {
  faucet: [["npx tally deposit '$5'", 'development money']],
  chain: [['npx tally deposits address', 'where to send dollars on the chain']],
  none: [],
};

export function greeting(facts: Facts, { isDefaultFolder }: GreetingOptions): string {
  const { url, portsUrl, database, isolation, money, isFoundAgain } = facts;
  const login = `npx tally login --new${isDefaultFolder ? '' : ` --url ${url}`}`;
  const next: [string, string][] = [
    [login, 'a wallet and an API key (later: without --new)'],
    ...MONEY[money],
    ["npx tally job create --budget '$1'", 'a spending window; its id is for the next one'],
    ['npx tally sandbox create --job JOB', 'a machine in it'],
  ];
  const width = Math.max(...next.map(([command]) => command.length));
  return `
Tallystick is up.
  api       ${url}
  docs      ${url}/docs   and for programs ${url}/openapi.json
  live      ${url.replace('http', 'ws')}/v1/live
  ports     ${portsUrl}   (what listens in sandboxes: tally port expose)
  database  ${database}
  machines  isolation level ${isolation}
Next, in another terminal in this folder:
${next.map(([command, why]) => `  ${command.padEnd(width)}   # ${why}`).join('\n')}
Ctrl-C stops everything. Machines that run end, and what they did not use comes back: tally snapshot keeps their files.
Accounts, receipts and snapshots stay${isFoundAgain ? ', and the next start is found at the same address' : '; the address is of this start alone (--port 0)'}.`;
}
