/** What api and meter share as programs: settings and life cycle. */
export { announceReady, untilStopped } from './lifecycle.ts';
export {
  type Environment,
  EXIT_SETTING,
  integerSetting,
  SettingError,
  seedSetting,
  startOrTell,
  switchSetting,
  tellAndExit,
  textSetting,
  urlSetting,
} from './settings.ts';
