/**
 * What every program needs to know of its database: how to connect in a role, and how to end it.
 * Promise: the same shape for the embedded server and for any PostgreSQL >= 15 named by DATABASE_URL.
 */
import pg from 'pg';

/** `owner` migrates; `api` and `meter` are what the programs run as. */
export type Role = 'owner' | 'api' | 'meter';

export interface Database {
  kind: 'embedded' | 'server';
  /** Connection settings in a role; 64-bit integers arrive as bigint. */
  as(role: Role): pg.ClientConfig;
  /** Where it is, without secrets. */
  describe(): string;
  /** Undefined when the server is not ours or not running. */
  postmasterPid(): number | undefined;
  /** The password that migrations give the role; undefined where connections need none. */
  passwordOf(role: Role): string | undefined;
  /** Ends the embedded server for every program that uses it; does nothing to a server of somebody else. */
  stop(): Promise<void>;
}

export const LOGIN_OF_ROLE: Record<Exclude<Role, 'owner'>, string> = { api: 'tally_api', meter: 'tally_meter' };

const INT8_OID = 20;

/** Parsers for one connection: no process-wide setting is touched. */
export const BIGINT_TYPES = {
  getTypeParser: (oid: number, format?: string): unknown =>
    oid === INT8_OID && format !== 'binary' ? BigInt : pg.types.getTypeParser(oid, format as 'text'),
} as pg.CustomTypesConfig;
