/**
 * Freezing plain values, so that a rule which changes its input is found out.
 * Promise: the value is returned, not copied; what is frozen already is not walked again.
 */

export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const child of Object.values(value)) deepFreeze(child);
  return value;
}
