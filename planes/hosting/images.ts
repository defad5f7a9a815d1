/**
 * The allowlist of images, each by what it is made of.
 * Promise: a sandbox starts from nothing that does not stand here, and every receipt of a start names the digest of its image.
 */
import { type Command, optionalIn, type Rejection, textIn } from '@tallystick/kernel';

export interface Image {
  name: string;
  /**
   * Hex SHA-256s under which it may be started. `measured`: it is the machine's own /usr, so each machine measures it
   * (docs/decisions/0010-image-digest.md), an operator pins it there, and the receipt says what was measured.
   */
  digests: readonly string[] | 'measured';
}

/** Oldest first. */
export const IMAGES: readonly Image[] = [{ name: 'sandbox-base:v1.0.0', digests: 'measured' }];

const DIGEST = /^[0-9a-f]{64}$/;

/** What a sandbox is started from. */
export interface ChosenImage {
  name: string;
  digest: string;
}

/**
 * The image that is asked for (an empty name: the newest), with the digest that the machine names.
 * `images` is an argument for tests alone.
 */
export function imageOf({ body }: Command, images = IMAGES): ChosenImage | Rejection {
  const asked = textIn(body, 'image');
  const image = asked === '' ? images.at(-1) : images.find(({ name }) => name === asked);
  if (image === undefined)
    return { rejection: 'UNKNOWN_IMAGE', facts: { image: asked, allowed: images.map(({ name }) => name) } };
  const { name, digests } = image;
  const found = textIn(body, 'image_digest');
  const wanted = optionalIn(body, 'asked_image_digest', textIn) ?? '';
  const isListed = digests === 'measured' ? DIGEST.test(found) : digests.includes(found);
  if (isListed && (wanted === '' || wanted === found)) return { name, digest: found };
  const allowed = wanted || (digests === 'measured' ? 'measured' : digests.join(' '));
  return { rejection: 'IMAGE_DIGEST_MISMATCH', facts: { image: name, asked: allowed, available: found } };
}
