/**
 * Assembles the sandbox's seccomp filter as classic BPF bytes, with no library.
 * Promise: a system call of another architecture kills, a listed one fails with EPERM, the rest pass.
 */

const LOAD_WORD = 0x20;
const JUMP_EQUAL = 0x15;
const JUMP_AT_LEAST = 0x35;
const JUMP_ANY_BIT = 0x45;
const RETURN = 0x06;

const ALLOW = 0x7fff0000;
const KILL_PROCESS = 0x80000000;
const failWith = (errno: number): number => 0x00050000 | errno;
const EPERM = 1;
const ENOSYS = 38;
const EAFNOSUPPORT = 97;

// Byte positions inside struct seccomp_data.
const AT_NUMBER = 0;
const AT_ARCH = 4;
const AT_ARGUMENT_0 = 16;

const AUDIT_ARCH_X86_64 = 0xc000003e;
const X32_NUMBERS_FROM = 0x40000000;
/** NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET */
const CLONE_NEW_ANY = 0x7e020000;

const CLONE = 56;
const CLONE3 = 435;
const SOCKET = 41;
/** AF_UNIX, AF_INET, AF_INET6, AF_NETLINK. vsock (40) is left out: a network namespace does not contain it. */
const SOCKET_FAMILIES = [1, 2, 10, 16];

/** System calls no tenant needs, by x86-64 number. */
export const REFUSED_CALLS: Readonly<Record<string, number>> = {
  ptrace: 101,
  syslog: 103,
  vhangup: 153,
  pivot_root: 155,
  chroot: 161,
  acct: 163,
  settimeofday: 164,
  mount: 165,
  umount2: 166,
  swapon: 167,
  swapoff: 168,
  reboot: 169,
  iopl: 172,
  ioperm: 173,
  init_module: 175,
  delete_module: 176,
  quotactl: 179,
  nfsservctl: 180,
  lookup_dcookie: 212,
  clock_settime: 227,
  kexec_load: 246,
  add_key: 248,
  request_key: 249,
  keyctl: 250,
  unshare: 272,
  perf_event_open: 298,
  name_to_handle_at: 303,
  open_by_handle_at: 304,
  clock_adjtime: 305,
  setns: 308,
  process_vm_readv: 310,
  process_vm_writev: 311,
  finit_module: 313,
  kexec_file_load: 320,
  bpf: 321,
  userfaultfd: 323,
  io_uring_setup: 425,
  io_uring_enter: 426,
  io_uring_register: 427,
  open_tree: 428,
  move_mount: 429,
  fsopen: 430,
  fsconfig: 431,
  fsmount: 432,
  fspick: 433,
  pidfd_getfd: 438,
  mount_setattr: 442,
  memfd_secret: 447,
};

function instruction(code: number, ifTrue: number, ifFalse: number, operand: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE(code, 0);
  bytes.writeUInt8(ifTrue, 2);
  bytes.writeUInt8(ifFalse, 3);
  bytes.writeUInt32LE(operand >>> 0, 4);
  return bytes;
}

const load = (at: number): Buffer => instruction(LOAD_WORD, 0, 0, at);
const give = (verdict: number): Buffer => instruction(RETURN, 0, 0, verdict);
/** Returns `verdict` when the loaded word equals `value`, else goes on. */
const when = (value: number, verdict: number): Buffer[] => [instruction(JUMP_EQUAL, 0, 1, value), give(verdict)];

function onlyThisArchitecture(): Buffer[] {
  return [load(AT_ARCH), instruction(JUMP_EQUAL, 1, 0, AUDIT_ARCH_X86_64), give(KILL_PROCESS)];
}

function noX32(): Buffer[] {
  return [load(AT_NUMBER), instruction(JUMP_AT_LEAST, 0, 1, X32_NUMBERS_FROM), give(failWith(ENOSYS))];
}

/** clone3 hides its flags behind a pointer, so it is absent; libc then falls back to clone, whose flags are checked. */
function noNewNamespaces(): Buffer[] {
  return [
    ...when(CLONE3, failWith(ENOSYS)),
    instruction(JUMP_EQUAL, 0, 4, CLONE),
    load(AT_ARGUMENT_0),
    instruction(JUMP_ANY_BIT, 0, 1, CLONE_NEW_ANY),
    give(failWith(EPERM)),
    give(ALLOW),
  ];
}

function onlyKnownSocketFamilies(): Buffer[] {
  const families = SOCKET_FAMILIES.flatMap((family) => when(family, ALLOW));
  const body = [load(AT_ARGUMENT_0), ...families, give(failWith(EAFNOSUPPORT))];
  return [instruction(JUMP_EQUAL, 0, body.length, SOCKET), ...body];
}

/** The whole filter, ready for `bwrap --seccomp FD`. */
export function seccompFilter(): Buffer {
  const refused = Object.values(REFUSED_CALLS).flatMap((number) => when(number, failWith(EPERM)));
  return Buffer.concat([
    ...onlyThisArchitecture(),
    ...noX32(),
    ...refused,
    ...onlyKnownSocketFamilies(),
    ...noNewNamespaces(),
    give(ALLOW),
  ]);
}
