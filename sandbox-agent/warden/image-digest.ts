/**
 * What the image is made of on this machine, as a manifest and its digest.
 * Promise: the digest changes with the distribution, any package's version, Node's and Bun's bytes, the guest and the image's own
 * files; it says nothing about files that no package owns (docs/decisions/0010-image-digest.md).
 */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readFileSync, statSync } from 'node:fs';
import { jcs, sha256Hex } from '@tallystick/kernel';
import { IMAGE_VERSION } from './admission.ts';
import { refused } from './fault.ts';
import { type GuestRuntime, guestProgram } from './guest-build.ts';
import { bunFile } from './guest-bun.ts';
import { IMAGE_ETC } from './image.ts';

const OS_RELEASE = '/usr/lib/os-release';
const PACKAGES = '/var/lib/dpkg/status';

export interface ImageManifest {
  image: string;
  /** Hex SHA-256 each; null where the host has no such thing. */
  os_release: string | null;
  packages: string | null;
  node: string;
  /** What the guest runs on beside it; null where Node runs it. */
  bun: string | null;
  guest: string;
  etc: string;
}

const hashOf = (file: string): string | null => (existsSync(file) ? sha256Hex(readFileSync(file)) : null);

/** One line per installed package: name, version, architecture. */
export function packageLines(status: string): string[] {
  const member = (paragraph: string, name: string): string =>
    new RegExp(`^${name}: (.*)$`, 'm').exec(paragraph)?.[1] ?? '';
  const installed = status.split('\n\n').filter((paragraph) => /^Status: .* installed$/m.test(paragraph));
  return installed
    .map((one) => `${member(one, 'Package')} ${member(one, 'Version')} ${member(one, 'Architecture')}`)
    .sort();
}

async function hashOfLarge(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const bytes of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(bytes as Buffer);
  return hash.digest('hex');
}

export async function imageManifest(guest?: GuestRuntime): Promise<ImageManifest> {
  const bun = guest === 'node' ? undefined : bunFile();
  const lines = existsSync(PACKAGES) ? packageLines(readFileSync(PACKAGES, 'utf8')) : undefined;
  return {
    image: IMAGE_VERSION,
    os_release: hashOf(OS_RELEASE),
    packages: lines ? sha256Hex(Buffer.from(lines.join('\n'))) : null,
    node: await hashOfLarge(process.execPath),
    bun: bun ? await hashOfLarge(bun) : null,
    guest: sha256Hex(Buffer.from(guestProgram())),
    etc: sha256Hex(Buffer.from(jcs(IMAGE_ETC))),
  };
}

export const digestOf = (manifest: ImageManifest): string => sha256Hex(Buffer.from(jcs({ ...manifest })));

const packagesAsOf = (): string => {
  const status = statSync(PACKAGES, { throwIfNoEntry: false });
  return status ? `${status.mtimeMs} ${status.size}` : '';
};

/** Taken again when the package list has changed since. */
export function imageDigests(guest?: GuestRuntime): () => Promise<string> {
  let known: { asOf: string; digest: Promise<string> } | undefined;
  return () => {
    const asOf = packagesAsOf();
    if (known?.asOf !== asOf) known = { asOf, digest: imageManifest(guest).then(digestOf) };
    return known.digest;
  };
}

/** @errors rejects with Fault `image_digest_mismatch` naming both. */
export async function checkPinned(digest: () => Promise<string>, pinned: string | undefined): Promise<void> {
  if (pinned === undefined) return;
  const found = await digest();
  if (found !== pinned)
    throw refused('image_digest_mismatch', 'the image of this machine is not the one that was pinned', {
      image: IMAGE_VERSION,
      asked: pinned,
      found,
    });
}
