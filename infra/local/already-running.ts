/**
 * Is the platform of this folder up already?
 * Promise: says so only when the one that left the address is alive and answers there.
 */
import { readFileSync } from 'node:fs';

const ANSWER_MS_MAX = 2_000;

interface Address {
  url: string;
  pids: { api?: number };
}

/** Its address; undefined when nothing runs. */
export async function addressOfRunning(addressFile: string): Promise<string | undefined> {
  const address = readAddress(addressFile);
  if (!address?.pids?.api || !isAlive(address.pids.api)) return undefined;
  const answer = await fetch(`${address.url}/healthz`, { signal: AbortSignal.timeout(ANSWER_MS_MAX) }).catch(
    () => undefined,
  );
  await answer?.body?.cancel();
  return answer?.ok ? address.url : undefined;
}

function readAddress(path: string): Address | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Address;
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (fault) {
    return (fault as NodeJS.ErrnoException).code === 'EPERM';
  }
}
