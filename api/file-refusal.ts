/**
 * What a machine refuses of a file or a path, in the words of the catalogue.
 * Promise: the same cause has the same code whichever operation met it.
 */
import { ProviderFault } from '@tallystick/engine/adapters/provider';
import type { ErrorCodeName } from '@tallystick/proto';
import { refuse } from '@tallystick/surface';
import { askProvider } from './provider-refusal.ts';

/** Causes with a code of their own; every other is FILE_REFUSED. */
const CODES: Readonly<Record<string, ErrorCodeName>> = {
  no_such_file: 'FILE_NOT_FOUND',
  file_exists: 'FILE_EXISTS',
  not_a_folder: 'NOT_A_DIRECTORY',
  is_folder: 'IS_A_DIRECTORY',
  folder_not_empty: 'DIRECTORY_NOT_EMPTY',
  quota_full: 'NO_SPACE',
  not_permitted: 'FILE_NOT_PERMITTED',
  crosses_mounts: 'CROSSES_MOUNTS',
};

/** Runs a provider call about a path. @errors throws the refusal; PROVIDER_UNREACHABLE */
export function askFiles<T>(facts: { path: string; target?: string }, ask: () => Promise<T>): Promise<T> {
  return askProvider('FILE_REFUSED', facts, async () => {
    try {
      return await ask();
    } catch (fault) {
      const code = fault instanceof ProviderFault && fault.kind !== 'unreachable' ? CODES[fault.code] : undefined;
      if (!code) throw fault;
      const { message, code: cause, facts: told } = fault as ProviderFault;
      throw refuse(code, { ...facts, ...told, cause }, `${message} (${cause})`);
    }
  });
}
