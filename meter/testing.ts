/**
 * What a meter does with a chain, look by look, and a world for it: for laws over several programs together.
 * Promise: the very parts that the meter runs, each look called by hand.
 */
export type { Broadcaster } from './chain/broadcaster.ts';
export { lapseQuotes } from './chain/lapse.ts';
export { Sweeper } from './chain/sweeper.ts';
export { keyOf, mortality, TREASURY } from './chain/testing.ts';
export { machineFor, newTreasuryWorld, type Person, type TreasuryWorld } from './chain/treasury-world.ts';
export type { Watcher } from './chain/watcher.ts';
