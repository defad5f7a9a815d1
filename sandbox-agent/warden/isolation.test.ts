/** What a tenant tries in vain against the host, its neighbour and its own limits; one row is one attempt. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { execInside, inside, type OwnGround, ownGround, sandboxOn } from '../testing/rig.ts';
import type { Sandbox } from './sandbox.ts';

let own: OwnGround;
let tenant: Sandbox;
let neighbour: Sandbox;

before(async () => {
  own = await ownGround();
  [tenant, neighbour] = await Promise.all([sandboxOn(own.ground, 0), sandboxOn(own.ground, 1)]);
});

after(async () => {
  await Promise.all([tenant.destroy(), neighbour.destroy()]);
  await own.remove();
});

/** One row is one attempt: what the tenant tries, and what it must read. */
const perlCall = (...numbers: number[]): string =>
  `perl -e '$r = syscall(${numbers.join(',')}); print $r, " ", $!+0, "\\n"'`;
const ATTEMPTS: [what: string, line: string, expected: RegExp][] = [
  [
    'sees host files',
    'cat /etc/shadow /root/.profile; ls /srv /home /boot',
    /shadow: No such file.*\/srv.*No such file/s,
  ],
  ['sees only its own home', 'ls /home', /^user\n/],
  ['sees only its own processes', "ls /proc | grep -c '^[0-9]'", /^[3-7]\n/],
  [
    'mounts',
    'mkdir -p /tmp/m; mount -t tmpfs none /tmp/m',
    /[Pp]ermission denied|must be superuser|Operation not permitted/,
  ],
  ['mounts by raw call', perlCall(165, 0, 0, 0, 0, 0), /^-1 1\n/],
  ['opens a new mount api', perlCall(430, 0, 0), /^-1 1\n/],
  ['makes a user namespace', 'unshare -U true', /Operation not permitted/],
  ['makes one by clone flags', perlCall(56, 0x10000011, 0, 0, 0, 0), /^-1 1\n/],
  ['uses clone3', perlCall(435, 0, 0), /^-1 38\n/],
  ['uses ptrace', perlCall(101, 16, 1, 0, 0), /^-1 1\n/],
  ['reads foreign memory', perlCall(310, 1, 0, 0, 0, 0, 0), /^-1 1\n/],
  ['uses keyctl', perlCall(250, 0, 0, 0, 0, 0), /^-1 1\n/],
  ['loads bpf', perlCall(321, 0, 0, 0), /^-1 1\n/],
  ['uses io_uring', perlCall(425, 1, 0), /^-1 1\n/],
  ['opens a raw socket', "perl -MSocket -e 'socket(S, AF_INET, SOCK_RAW, 1) or print $!+0'", /^1\[/],
  ['opens a packet socket', perlCall(41, 17, 3, 768), /^-1 97\n/],
  ['opens a vsock socket', perlCall(41, 40, 1, 0), /^-1 97\n/],
  ['opens a kernel crypto socket', perlCall(41, 38, 5, 0), /^-1 97\n/],
  ['has an interface', 'sed 1,2d /proc/net/dev | cut -d: -f1', /^\s*lo\n\[/],
  [
    'reaches a foreign address',
    'perl -MIO::Socket::INET -e \'IO::Socket::INET->new("192.0.2.1:80") or print $!\'',
    /Network is unreachable/,
  ],
  ['writes kernel settings', 'echo x > /proc/sys/kernel/core_pattern', /Read-only|Permission denied|cannot create/],
  ['pulls the sysrq trigger', 'echo b > /proc/sysrq-trigger', /Read-only|Permission denied|cannot create/],
  [
    'escapes by /proc/1/root',
    "ls /proc/1/root/ | tr '\\n' ' '; ls /proc/1/root/srv",
    /^bin dev etc home.*No such file/s,
  ],
  [
    "reads the init's environment",
    "tr '\\0' '\\n' < /proc/1/environ",
    /^PATH=[^\n]*\n(PWD=[^\n]*\n)?(OLDPWD=[^\n]*\n)?\[exit 0\]$/,
  ],
  ['writes the image', 'touch /usr/bin/x /etc/x /x /dev/x', /(Read-only file system.*){4}/s],
  ['makes a device', 'mknod /tmp/d b 7 0', /Operation not permitted/],
  [
    'gains by a setuid copy',
    'cp /usr/bin/id ~/i; chmod 4755 ~/i; ~/i -u; su -c id < /dev/null',
    /^1000\n.*\[exit [^0]/s,
  ],
  ['has suid mounts', 'grep -vc nosuid /proc/self/mounts', /^0\n/],
  [
    'has capabilities',
    "grep -cE '^Cap.*:.*[1-9a-f]' /proc/self/status; grep -E 'NoNewPrivs|Seccomp:' /proc/self/status",
    /^0\nNoNewPrivs:\t1\nSeccomp:\t2\n/,
  ],
  ['raises its priority', 'nice -n -5 true', /Permission denied|cannot set niceness/],
  ['moves itself to another cgroup', 'ls /sys/fs/cgroup', /No such file/],
  ['finds leaked descriptors', `perl -e 'for (3..4096) { print "$_ " if -e "/proc/self/fd/$_" }'`, /^\[exit 0\]$/],
  [
    "replaces the warden's socket",
    'touch /run/guest/guest.sock; ln -s /x /run/guest/y',
    /(Read-only file system.*){2}/s,
  ],
];

for (const [what, line, expected] of ATTEMPTS) {
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
