/**
 * The ports of the last start, kept beside the data.
 * Promise: a platform is found where it was when that place is still free; where it is not, another one is taken and told.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';

/** Where the first start tries to listen: what the guides name. */
export const API_PORT_FIRST = 8080;
const PORT_MAX = 65_535;

/** 0: any free one. */
export interface Ports {
  api: number;
  /** Of the listener behind which the ports of sandboxes are. */
  sandboxes: number;
}

const fileIn = (folder: string): string => join(folder, 'ports.json');

/** What the last start wrote; nothing when there was none or the file says nothing usable. */
export function rememberedPorts(folder: string): Partial<Ports> {
  try {
    const told = JSON.parse(readFileSync(fileIn(folder), 'utf8')) as Partial<Ports>;
    return Object.fromEntries(Object.entries(told).filter(([, port]) => isPort(port)));
  } catch {
    return {};
  }
}

const isPort = (port: unknown): boolean => Number.isInteger(port) && Number(port) > 0 && Number(port) <= PORT_MAX;

export function rememberPorts(folder: string, ports: Ports): void {
  writeFileSync(fileIn(folder), `${JSON.stringify(ports)}\n`, { mode: 0o600 });
}

/**
 * The ports to listen on: the asked one, else those of last time where they are free.
 * `onTaken` hears of each that is not; an asked port is never replaced.
 */
export async function choosePorts(
  folder: string,
  { host, asked, onTaken }: { host: string; asked: number | undefined; onTaken: (port: number) => void },
): Promise<Ports> {
  const last = rememberedPorts(folder);
  const freeOr0 = async (port: number): Promise<number> => {
    if (port === 0 || (await isFree(host, port))) return port;
    onTaken(port);
    return 0;
  };
  return {
    api: asked ?? (await freeOr0(last.api ?? API_PORT_FIRST)),
    sandboxes: await freeOr0(last.sandboxes ?? 0),
  };
}

/** Found out by listening there for a moment. */
export function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
