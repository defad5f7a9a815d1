/**
 * What a tenant tries against the host, its neighbour and its own limits, and what it must read instead.
 * Promise: one row is one attempt; every level is tried with all of them.
 */
import type { Level } from '../warden/image.ts';

const perlCall = (...numbers: number[]): string =>
  `perl -e '$r = syscall(${numbers.join(',')}); print $r, " ", $!+0, "\\n"'`;
/** One row is one attempt: what the tenant tries, and what it must read. */
type Attempt = [what: string, line: string, expected: RegExp];

const ATTEMPTS: Attempt[] = [
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

/**
 * Rows that read otherwise where the tenant has a kernel of its own: what it may do there is done to that kernel. (The
 * `ls FOLDER` of coreutils 9 fails on a runsc of 2022.)
 */
const AT_GVISOR: Record<string, [line: string, expected: RegExp]> = {
  'sees host files': [
    'for f in /etc/shadow /root/.profile /srv /boot; do test -e $f && echo $f; done; cat /etc/shadow',
    /^cat: [^\n]*No such file/,
  ],
  'sees only its own home': ['cd /home && ls', /^user\n/],
  'sees only its own processes': ["cd /proc && ls | grep -c '^[0-9]'", /^[3-7]\n/],
  'opens a packet socket': [perlCall(41, 17, 3, 768), /^-1 1\n/],
  'reaches a foreign address': [
    'perl -MIO::Socket::INET -e \'IO::Socket::INET->new("192.0.2.1:80") or print $!\'',
    /No route to host|Network is unreachable/,
  ],
  'escapes by /proc/1/root': ['cd /proc/1/root/', /can't cd/],
  "reads the init's environment": [
    "tr '\\0' '\\n' < /proc/1/environ",
    /^((PATH|HOME|USER|LANG)=[^\n]*\n){4}\[exit 0\]$/,
  ],
  'writes the image': ['touch /usr/bin/x /etc/x /x /dev/x', /((Read-only file system|Permission denied).*){4}/s],
  "replaces the warden's socket": [
    'touch /run/guest/guest.sock; ln -s /x /run/guest/y',
    /((Read-only file system|Permission denied).*){2}/s,
  ],
  'makes a device': ['mknod /tmp/d b 7 0; cat /tmp/d', /No such device|Permission denied|not permitted/],
  'has suid mounts': ['cp /usr/bin/id ~/j; chmod 4755 ~/j; ~/j -u; grep -c NoNewPrivs /proc/self/status', /^1000\n/],
  'has capabilities': [
    "grep -cE '^Cap.*:.*[1-9a-f]' /proc/self/status; grep Seccomp: /proc/self/status",
    /^0\nSeccomp:\t2\n/,
  ],
  'moves itself to another cgroup': [
    'echo 1 > /sys/fs/cgroup/cgroup.procs; mkdir /sys/fs/cgroup/x',
    /(denied|Read-only|cannot create|not permitted|No such file).*cannot create/is,
  ],
};

/** Its own kernel's priorities and modes are not the host's. */
const ONLY_NS = ['raises its priority'];

export function attemptsAt(level: Level): Attempt[] {
  if (level !== 'gvisor') return ATTEMPTS;
  const rows = ATTEMPTS.filter(([what]) => !ONLY_NS.includes(what));
  return rows.map(([what, ...otherwise]) => [what, ...(AT_GVISOR[what] ?? otherwise)]);
}
