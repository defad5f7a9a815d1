/**
 * A map that forgets, when asked to, what was set longest ago and no longer fits its share of memory.
 * Promise: nothing goes while it is in use; `trim` alone forgets, one by one, never everything at once.
 */
export class Recent<V> {
  readonly #entries = new Map<string, V>();
  readonly #bytesMax: number;
  readonly #bytesOf: (value: V) => number;
  #bytes = 0;

  /** @param bytesOf about what an entry takes with its name */
  constructor(bytesMax: number, bytesOf: (value: V) => number) {
    this.#bytesMax = bytesMax;
    this.#bytesOf = bytesOf;
  }

  get size(): number {
    return this.#entries.size;
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  get(name: string): V | undefined {
    return this.#entries.get(name);
  }

  /** It is now the newest. */
  set(name: string, value: V): void {
    this.delete(name);
    this.#entries.set(name, value);
    this.#bytes += this.#bytesOf(value);
  }

  delete(name: string): void {
    const old = this.#entries.get(name);
    if (this.#entries.delete(name)) this.#bytes -= this.#bytesOf(old as V);
  }

  clear(): void {
    this.#entries.clear();
    this.#bytes = 0;
  }

  trim(): void {
    for (const name of this.#entries.keys()) {
      if (this.#bytes <= this.#bytesMax) return;
      this.delete(name);
    }
  }
}
