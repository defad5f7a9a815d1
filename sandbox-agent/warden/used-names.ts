/**
 * Which lives of which sandboxes this machine has seen, across restarts.
 * Promise: a ticket of a life that ran here once cannot start it again.
 */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';

const NAMES_KEPT_MAX = 50_000;

export class UsedNames {
  readonly #file: string;
  readonly #highest = new Map<string, number>();

  constructor(file: string) {
    this.#file = file;
    const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean) : [];
    for (const line of lines.slice(-NAMES_KEPT_MAX)) {
      const [sandbox = '', incarnation = '0'] = line.split(' ');
      this.#highest.set(sandbox, Math.max(this.highest(sandbox), Number(incarnation)));
    }
    if (lines.length > NAMES_KEPT_MAX) {
      writeFileSync(file, lines.slice(-NAMES_KEPT_MAX).join('\n').concat('\n'), { mode: 0o600 });
    }
  }

  /** 0 when the sandbox was never here. */
  highest(sandbox: string): number {
    return this.#highest.get(sandbox) ?? 0;
  }

  add(sandbox: string, incarnation: number): void {
    appendFileSync(this.#file, `${sandbox} ${incarnation}\n`, { mode: 0o600 });
    this.#highest.set(sandbox, incarnation);
  }
}
