/**
 * A PostgreSQL of somebody else, named by a URL whose user may create roles.
 * Promise: the two program roles log in as themselves, so no `reset role` leads back to the owner.
 */
import { createHmac } from 'node:crypto';
import pg from 'pg';
import { urlSetting } from '../program/index.ts';
import { BIGINT_TYPES, type Database, LOGIN_OF_ROLE, type Role } from './database.ts';

/** The floor of our SQL. */
const SERVER_VERSION_MIN = 150_000;

/** @errors throws when the server cannot be reached or is older than PostgreSQL 15. */
export async function openServer(url: string): Promise<Database> {
  const database = describeServer(url);
  const client = new pg.Client(database.as('owner'));
  await client.connect();
  try {
    const { rows } = await client.query('show server_version_num');
    const version = Number(rows[0].server_version_num);
    if (version < SERVER_VERSION_MIN) {
      throw new Error(`PostgreSQL 15 or later is needed, ${database.describe()} has version number ${version}`);
    }
  } finally {
    await client.end();
  }
  return database;
}

function describeServer(url: string): Database {
  const address = new URL(urlSetting({ DATABASE_URL: url }, 'DATABASE_URL', ['postgres:', 'postgresql:'])!);
  return {
    kind: 'server',
    as: (role) => ({ connectionString: urlOf(address, role), types: BIGINT_TYPES }),
    describe: () => `PostgreSQL at ${address.host}${address.pathname}`,
    postmasterPid: () => undefined,
    passwordOf: (role) => passwordOf(address, role),
    stop: async () => undefined,
  };
}

/**
 * Derived from the owner's password, so that every program that knows the URL knows it and nothing is stored.
 * Undefined when the URL has no password (peer or trust authentication).
 */
function passwordOf(address: URL, role: Role): string | undefined {
  const secret = decodeURIComponent(address.password);
  if (role === 'owner' || !secret) return secret || undefined;
  return createHmac('sha256', secret).update(`tallystick role ${LOGIN_OF_ROLE[role]}`).digest('hex');
}

function urlOf(address: URL, role: Role): string {
  if (role === 'owner') return address.href;
  const own = new URL(address);
  own.username = LOGIN_OF_ROLE[role];
  own.password = passwordOf(address, role) ?? '';
  if (own.searchParams.has('user')) own.searchParams.set('user', LOGIN_OF_ROLE[role]);
  return own.href;
}
