/**
 * What the programs that people start are told on their command lines.
 * Promise: what is none of their options or levels is one sentence that names it.
 */
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';
import { EXIT_SETTING, SettingError } from '@tallystick/engine/program';

const LEVELS = ['auto', 'gvisor', 'ns', 'ns-lite'];

/** @errors throws SettingError naming the option that is none; `command` lists them with --help */
export function argumentsOf<const T extends ParseArgsOptionsConfig>(command: string, options: T) {
  try {
    return parseArgs({ options }).values;
  } catch (fault) {
    throw new SettingError(`${(fault as Error).message}; ${command} -- --help lists the options`);
  }
}

/** As it was given, or TALLY_ISOLATION. @errors throws SettingError for a level that is none */
export function isolationOf(option: string | undefined): { isolation?: string } {
  const setting = process.env['TALLY_ISOLATION'];
  const [name, level] = option === undefined ? ['the setting TALLY_ISOLATION', setting] : ['--isolation', option];
  if (!level) return {};
  if (LEVELS.includes(level)) return { isolation: level };
  throw new SettingError(`${name} is ${level}; it must be ${LEVELS.join(', ')}`);
}

/** Of a program that `fault` ended. */
export const exitCodeOf = (fault: unknown): number => (fault instanceof SettingError ? EXIT_SETTING : 1);
