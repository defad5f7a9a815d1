/**
 * Forward-only migrations from `engine/migrations/NNNN-name.sql`, each carried out once and never changed afterwards.
 * Promise: after it the schema is exactly this version's; a newer or an altered one is refused, not guessed at.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Kysely, PostgresDialect, sql } from 'kysely';
import { Migrator } from 'kysely/migration';
import pg from 'pg';
import { type Database, LOGIN_OF_ROLE } from './database.ts';

const FOLDER = join(import.meta.dirname, '..', 'migrations');
const SCHEMA = 'tally_migration';
/** One program at a time, however many start at once. */
const LOCK_ID = 7_061_420_119;

interface Step {
  name: string;
  text: string;
  hash: string;
}

/**
 * @returns the schema's number before and after; 0 is an empty database.
 * @errors throws when the database has a migration that this version does not know, or another text of one it knows.
 */
export async function migrate(database: Database, folder = FOLDER): Promise<{ from: number; to: number }> {
  const steps = readSteps(folder);
  const guard = new pg.Client(database.as('owner'));
  guard.on('error', () => undefined);
  await guard.connect();
  try {
    await guard.query('select pg_advisory_lock($1)', [LOCK_ID]);
    const from = await checkApplied(guard, steps);
    await applySteps(database, steps);
    await setPasswords(guard, database);
    return { from, to: numberOf(steps.at(-1)!.name) };
  } finally {
    await guard.end(); // the lock goes with the session
  }
}

const numberOf = (name: string): number => Number(name.slice(0, 4));

function readSteps(folder: string): Step[] {
  const names = readdirSync(folder).filter((name) => /^\d{4}-[a-z0-9-]+\.sql$/.test(name));
  return names.sort().map((file) => {
    const text = readFileSync(join(folder, file), 'utf8');
    return { name: file.slice(0, -'.sql'.length), text, hash: createHash('sha256').update(text).digest('hex') };
  });
}

/** The number of the newest migration that is already there. */
async function checkApplied(client: pg.Client, steps: Step[]): Promise<number> {
  await client.query(`create schema if not exists ${SCHEMA}`);
  await client.query(`create table if not exists ${SCHEMA}.content (name text primary key, sha256 text not null)`);
  const { rows } = await client.query(`select name, sha256 from ${SCHEMA}.content order by name`);
  const known = new Map(steps.map((step) => [step.name, step.hash]));
  for (const { name, sha256 } of rows) {
    if (!known.has(name)) {
      throw new Error(`the database has migration ${name}, which this version does not know: start a newer version`);
    }
    if (known.get(name) !== sha256) throw new Error(`migration ${name} was changed after it had been carried out`);
  }
  return rows.length === 0 ? 0 : numberOf(rows.at(-1)!.name);
}

async function applySteps(database: Database, steps: Step[]): Promise<void> {
  const pool = new pg.Pool({ ...database.as('owner'), max: 2 });
  pool.on('error', () => undefined);
  const kysely = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
  try {
    const migrations = Object.fromEntries(
      steps.map((step) => [step.name, { up: (db: Kysely<unknown>) => apply(db, step) }]),
    );
    const migrator = new Migrator({
      db: kysely,
      provider: { getMigrations: async () => migrations },
      migrationTableSchema: SCHEMA,
    });
    const { error } = await migrator.migrateToLatest();
    if (error) throw error;
  } finally {
    await kysely.destroy();
  }
}

async function apply(db: Kysely<unknown>, step: Step): Promise<void> {
  await sql.raw(step.text).execute(db);
  await sql`reset role`.execute(db); // a step works as the owner of the tables
  await sql`insert into ${sql.table(`${SCHEMA}.content`)} (name, sha256) values (${step.name}, ${step.hash})`.execute(
    db,
  );
}

async function setPasswords(client: pg.Client, database: Database): Promise<void> {
  for (const [role, login] of Object.entries(LOGIN_OF_ROLE) as ['api' | 'meter', string][]) {
    const password = database.passwordOf(role);
    if (password) await client.query(`alter role ${login} password ${pg.escapeLiteral(password)}`);
  }
}
