/** What api and meter share as programs: settings and life cycle. */
export { announceReady, untilStopped } from './lifecycle.ts';
export { type Environment, integerSetting, seedSetting, switchSetting, textSetting } from './settings.ts';
