/**
 * The way in without bubblewrap (level `ns-lite`): util-linux `unshare`, a root directory made by mounts, `setpriv`.
 * Promise: own uid, no capability, no network, no host file but the image; no seccomp and no user namespace, so it is
 * for development only.
 */
import {
  HOME,
  type Isolation,
  OF_ETC,
  SCRATCH_BYTES,
  SECRETS_DISK_BYTES,
  SECRETS_FOLDER,
  setprivArguments,
  TENANT_PATH,
} from './image.ts';

const DEVICES = ['null', 'zero', 'full', 'random', 'urandom'];

/** Arguments: root, home disk ('' for tmpfs), its bytes, uid, node file, socket folder, guest folder; then the command. */
const ENTER = `set -e
root=$1 disk=$2 bytes=$3 uid=$4 node=$5 socket=$6 guest=$7; shift 7
show() { mkdir -p "$root$2"; mount --bind "$1" "$root$2"; mount -o remount,bind,ro,nosuid "$root$2"; }
file() { mkdir -p "$(dirname "$root$2")"; : > "$root$2"; mount --bind "$1" "$root$2"; }
mount -t tmpfs -o size=1m,mode=755,nosuid tmpfs "$root"
show /usr /usr
for name in bin sbin lib lib64; do ln -s usr/$name "$root/$name"; done
for name in ${OF_ETC.join(' ')}; do
  if [ -d "/etc/$name" ]; then show "/etc/$name" "/etc/$name"; elif [ -e "/etc/$name" ]; then file "/etc/$name" "/etc/$name"; fi
done
for path in "$guest"/etc/*; do file "$path" "/etc/\${path##*/}"; done
for name in ${DEVICES.join(' ')}; do file "/dev/$name" "/dev/$name"; done
mkdir "$root/dev/pts"; mount -t devpts -o newinstance,ptmxmode=666,mode=620,nosuid,noexec devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"; file /dev/tty /dev/tty
for name in tmp dev/shm; do
  mkdir -p "$root/$name"; mount -t tmpfs -o size=${SCRATCH_BYTES},uid=$uid,gid=$uid,nosuid,nodev tmpfs "$root/$name"
done
mkdir -p "$root${SECRETS_FOLDER}"
mount -t tmpfs -o size=${SECRETS_DISK_BYTES},mode=700,uid=$uid,gid=$uid,nosuid,nodev tmpfs "$root${SECRETS_FOLDER}"
mkdir -p "$root${HOME}"
if [ -n "$disk" ]; then mount --bind "$disk" "$root${HOME}"
else mount -t tmpfs -o size=$bytes,uid=$uid,gid=$uid,nosuid,nodev tmpfs "$root${HOME}"; fi
file "$node" /opt/node/bin/node; show "$socket" /run/guest; show "$guest" /opt/guest
mkdir -p "$root/proc"; mount -t proc -o nosuid,nodev,noexec,hidepid=2 proc "$root/proc"
mount -o remount,ro "$root"
hostname sandbox
exec 3<&-
exec chroot "$root" "$@"`;

/** The command line that the launcher becomes; it has joined its cgroups already. */
export function liteCommand(isolation: Isolation, argv: string[]): string[] {
  const { disk, hostUid, nodeFile, socketDirectory, guestDirectory } = isolation;
  const unshare = ['unshare', '--mount', '--pid', '--net', '--ipc', '--uts', '--fork', '--kill-child'];
  const home = disk.kind === 'image' ? disk.mountPoint : '';
  const places = [isolation.rootDirectory, home, String(disk.bytesMax), String(hostUid), nodeFile, socketDirectory];
  const env = [`PATH=${TENANT_PATH}`, `HOME=${HOME}`, 'USER=user', 'LANG=C.UTF-8'];
  const tenant = ['setpriv', ...setprivArguments(hostUid), '--', 'env', '-i', '-C', HOME, ...env, ...argv];
  return [
    'setpriv',
    '--pdeathsig',
    'KILL',
    ...unshare,
    '--',
    'sh',
    '-c',
    ENTER,
    'enter',
    ...places,
    guestDirectory,
    ...tenant,
  ];
}
