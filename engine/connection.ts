/**
 * One connection that is made when needed and thrown away after any error.
 * Promise: an idle connection that dies is noticed by the next query, never by an uncaught error.
 */
import pg from 'pg';

/** A named statement: prepared once per connection. */
export interface Statement {
  name: string;
  text: string;
}

export class Connection implements AsyncDisposable {
  readonly #config: pg.ClientConfig;
  readonly #setUp: string | undefined;
  #client: Promise<pg.Client> | undefined;
  /** How often it was made. */
  connects = 0;

  constructor(config: pg.ClientConfig, setUp?: string) {
    this.#config = config;
    this.#setUp = setUp;
  }

  async query<R extends pg.QueryResultRow>(statement: Statement, values: unknown[]): Promise<R[]> {
    this.#client ??= this.#connect();
    const client = await this.#client;
    return (await client.query<R>({ ...statement, values })).rows;
  }

  async drop(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.then((open) => open.end()).catch(() => undefined);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drop();
  }

  async #connect(): Promise<pg.Client> {
    const client = new pg.Client(this.#config);
    client.on('error', () => undefined); // the next query reports it
    await client.connect();
    this.connects++;
    if (this.#setUp) await client.query(this.#setUp);
    return client;
  }
}
