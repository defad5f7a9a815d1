/**
 * Limits of what callers send besides the message itself.
 * Promise: told in the OpenAPI document as they are enforced.
 */

/** Of the header PAYMENT-SIGNATURE. */
export const PAYMENT_CHARS_MAX = 8 * 1024;
