/**
 * Base64 with one spelling.
 * Promise: text that is not exactly what encoding its bytes gives is refused.
 */

/** Standard alphabet with padding; undefined when the text is not canonical. */
export function base64Bytes(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}
