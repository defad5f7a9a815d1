/** Every statement of the registry is understood by the server, in the role that sends it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { STATEMENTS } from './statements.ts';
import { testDatabase } from './testing.ts';

const OF_THE_METER_ALONE = new Set([
  'dueTimers',
  'takeOutbox',
  'settleOutbox',
  'postponeOutbox',
  'waitingWork',
  'keepTickets',
  'noteMoment',
]);

for (const role of ['api', 'meter'] as const) {
  test(`[I-34] every statement can be prepared as ${role}, but for those of the meter alone`, async () => {
    const client = new pg.Client((await testDatabase()).as(role));
    await client.connect();
    try {
      for (const [name, statement] of Object.entries(STATEMENTS)) {
        const refused = await client.query(`prepare "${name}" as ${statement.text}`).then(
          () => undefined,
          (error: Error) => error.message,
        );
        assert.equal(refused, undefined, `${name}: ${refused}`);
        const types = (
          await client.query(`select parameter_types::text[] as types from pg_prepared_statements where name = $1`, [
            name,
          ])
        ).rows[0].types;
        const isRefused = await isDenied(client, name, types.length);
        assert.equal(isRefused, role === 'api' && OF_THE_METER_ALONE.has(name), `${name} as ${role}`);
      }
    } finally {
      await client.end();
    }
  });
}

/** Permissions are checked when a plan is executed. */
async function isDenied(client: pg.Client, name: string, parameters: number): Promise<boolean> {
  const values = parameters === 0 ? '' : `(${Array.from({ length: parameters }, () => 'null').join(', ')})`;
  await client.query('begin');
  const code = await client.query(`execute "${name}"${values}`).then(
    () => '',
    (error: { code: string }) => error.code,
  );
  await client.query('rollback');
  return code === '42501';
}
