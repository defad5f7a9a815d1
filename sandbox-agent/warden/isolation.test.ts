/** What a tenant tries in vain against the host, its neighbour and its own limits, at each level that can be tried here. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { attemptsAt } from '../testing/attempts.ts';
import { reasonAgainst, triedGround } from '../testing/levels.ts';
import { execInside, inside, type OwnGround, sandboxOn } from '../testing/rig.ts';
import type { Level } from './image.ts';
import type { Sandbox } from './sandbox.ts';

function isolationAt(level: Level): void {
  let own: OwnGround;
  let tenant: Sandbox;
  let neighbour: Sandbox;

  before(async () => {
    own = await triedGround(level);
    [tenant, neighbour] = await Promise.all([sandboxOn(own.ground, 0), sandboxOn(own.ground, 1)]);
  });

  after(async () => {
    await Promise.all([tenant.destroy(), neighbour.destroy()]);
    await own.remove();
  });

  for (const [what, line, expected] of attemptsAt(level)) {
    test(`[I-08] a tenant in vain: ${what}`, async () => assert.match(await inside(tenant, line), expected));
  }

  test("a neighbour's file is nowhere to be found", async () => {
    await execInside(neighbour, ['sh', '-c', 'echo treasure > ~/secret']);
    assert.equal(await inside(neighbour, 'cat ~/secret'), 'treasure\n[exit 0]');
    const search = 'cat ~/secret; grep -rls treasure /home /tmp /run /proc/[0-9]*/root/home 2>/dev/null';
    assert.match(await inside(tenant, search), /^cat: [^\n]*No such file[^\n]*\n\[exit [12]\]$/);
  });

  test('a listener of the host is out of reach, by address and by abstract name', async () => {
    const name = `tally-probe-${process.pid}`;
    const byAddress = createServer((socket) => socket.end()).listen(0, '127.0.0.1');
    const byName = createServer((socket) => socket.end()).listen(`\0${name}`);
    const listening = [byAddress, byName].map((server) =>
      server.listening ? undefined : new Promise((resolve) => server.once('listening', resolve)),
    );
    await Promise.all(listening);
    const { port } = byAddress.address() as { port: number };
    const toPort = `perl -MIO::Socket::INET -e 'IO::Socket::INET->new("127.0.0.1:${port}") or print $!'`;
    assert.match(await inside(tenant, toPort), /Connection refused/);
    const toName = `perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0); connect(S, pack("Sx a*", 1, "${name}")) or print $!'`;
    assert.match(await inside(tenant, toName), /Connection refused/);
    byAddress.close();
    byName.close();
  });

  test("every process of the tree carries the sandbox's own host uid and gid, and no high priority", () => {
    const uid = own.ground.hostUidFirst;
    for (const pid of tenant.cgroup.pids()) {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      assert.match(status, new RegExp(`^Uid:(\t${uid}){4}$`, 'm'));
      assert.match(status, new RegExp(`^Gid:(\t${uid}){4}$`, 'm'));
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const [, , , , , , , , , , , , , , , , nice] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      assert.ok(Number(nice) >= 0, `nice ${nice}`);
    }
  });

  test('the guest itself may be killed by its tenant; that ends the sandbox and nothing else', async () => {
    const doomed = await sandboxOn(own.ground, 2);
    const { end } = await execInside(doomed, ['sh', '-c', 'kill -9 2; sleep 60']);
    assert.deepEqual(end, { fault: 'lost' });
    await doomed.gone;
    await doomed.destroy();
    assert.equal(await inside(tenant, 'echo well'), 'well\n[exit 0]');
  });
}

describe('isolation at ns', () => isolationAt('ns'));

const withoutGvisor = await reasonAgainst('gvisor');
describe('isolation at gvisor', { skip: withoutGvisor ?? false }, () => isolationAt('gvisor'));
