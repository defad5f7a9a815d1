/**
 * The allowlist of images.
 * Promise: a sandbox starts from nothing that does not stand here.
 */

/** Oldest first. */
export const IMAGES: readonly string[] = ['sandbox-base:v1.0.0'];

/** The name to start from; empty asks for the newest. Undefined when it is not on the list. */
export const imageOf = (asked: string): string | undefined =>
  asked === '' ? IMAGES.at(-1) : IMAGES.find((image) => image === asked);
