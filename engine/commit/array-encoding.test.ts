/** What PostgreSQL reads from a binary array is what was put in. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { asOwner, testDatabase } from '../testing.ts';
import { encodeArray } from './array-encoding.ts';

const text = fc.option(fc.string({ unit: 'binary' }).filter((s) => s.isWellFormed() && !s.includes('\0')));
const bigint = fc.option(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }));
const smallint = fc.option(fc.integer({ min: -32768, max: 32767 }));

test('arrays of every type arrive as they were given', async () => {
  await asOwner(await testDatabase(), async (client) => {
    const arrays = fc.record({
      t: fc.array(text),
      b: fc.array(fc.uint8Array()),
      i: fc.array(bigint),
      s: fc.array(smallint),
    });
    await fc.assert(
      fc.asyncProperty(arrays, async ({ t, b, i, s }) => {
        const { rows } = await client.query({
          name: 'echo',
          text: `select $1::text[] as t, (select coalesce(array_agg(encode(x, 'hex')), '{}') from unnest($2::bytea[]) x) as b,
            array(select x::text from unnest($3::bigint[]) x) as i, $4::smallint[] as s`,
          values: [
            encodeArray('text', t),
            encodeArray('bytea', b),
            encodeArray('bigint', i),
            encodeArray('smallint', s),
          ],
        });
        const hex = b.map((bytes) => Buffer.from(bytes).toString('hex'));
        assert.deepEqual(rows[0], { t, b: hex, i: i.map((n) => (n === null ? null : String(n))), s });
      }),
      { numRuns: 60 },
    );
  });
});
