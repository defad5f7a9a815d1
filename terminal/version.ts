/**
 * Which tally this is.
 * Promise: the version of package.json.
 */
import packageJson from './package.json' with { type: 'json' };

export const VERSION: string = packageJson.version;
