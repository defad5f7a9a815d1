/**
 * The one door of the identity plane: who is asking.
 * Promise: nothing here reads a clock or the world, and no secret is ever an argument.
 */
export { CLOCK_SKEW_MS_MAX } from './attempt.ts';
export { isKeyUsable, type KeyState, key } from './key.ts';
export { type Grant, KEY_TTL_MS_MAX, type LoginState, login } from './login.ts';
export { standing } from './standing.ts';
