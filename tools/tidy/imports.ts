/**
 * The arrows: manifests and import statements against the import table.
 * Promise: an arrow that the table does not draw is told, whether declared, undeclared or taken by a relative path.
 */
import { posix } from 'node:path';
import { IMPORT_TABLE, SCOPE } from '../import-table.ts';
import {
  importsOf,
  isForeign,
  isTypeScript,
  type Manifest,
  type Package,
  type Problem,
  packageOf,
  type SourceFile,
} from './source.ts';

const EXACT_VERSION = /^\d+\.\d+\.\d+(-[\w.]+)?$/;

const shortName = (name: string): string => name.replace(SCOPE, '').split('/')[0] ?? '';

const dependenciesOf = ({ manifest }: Package): Record<string, string> => ({
  ...manifest.dependencies,
  ...manifest.optionalDependencies,
  ...manifest.devDependencies,
});

/** Every package stands in the table, and declares only what the table allows, at an exact version. */
export function checkManifests(packages: readonly Package[]): Problem[] {
  return packages.flatMap((one) => {
    const allowed = IMPORT_TABLE[shortName(one.manifest.name)];
    const where = `${one.folder || '.'}/package.json`;
    if (one.folder !== '' && !allowed) return [`${where}: ${one.manifest.name} does not stand in the import table`];
    return Object.entries(dependenciesOf(one)).flatMap(([name, version]) => {
      const problems: Problem[] = [];
      if (!EXACT_VERSION.test(version)) problems.push(`${where}: ${name} is pinned to ${version}, not to one version`);
      if (name.startsWith(SCOPE) && !allowed?.includes(shortName(name)))
        problems.push(`${where}: ${one.manifest.name} may not depend on ${name}`);
      return problems;
    });
  });
}

const DEPENDENCY_KINDS = ['dependencies', 'optionalDependencies', 'devDependencies'] as const;

const sorted = (versions: Record<string, string> | undefined): string =>
  JSON.stringify(Object.entries(versions ?? {}).sort());

/** The lock file says of every package what its manifest says; else `npm ci` fails on the next clone. */
export function checkLock(lock: string, packages: readonly Package[]): Problem[] {
  const locked = (JSON.parse(lock) as { packages: Record<string, Manifest | undefined> }).packages;
  return packages.flatMap(({ folder, manifest }) => {
    const entry = locked[folder];
    const isSame = entry && DEPENDENCY_KINDS.every((kind) => sorted(entry[kind]) === sorted(manifest[kind]));
    return isSame
      ? []
      : [`package-lock.json: not in step with ${folder || '.'}/package.json; run npm install --ignore-scripts`];
  });
}

function checkImport(
  file: SourceFile,
  specifier: string,
  owner: Package,
  packages: readonly Package[],
): string | undefined {
  if (specifier.startsWith('.')) {
    const target = packageOf(posix.join(posix.dirname(file.path), specifier), packages);
    return target === owner ? undefined : `reaches into ${target?.manifest.name ?? 'nowhere'} by a relative path`;
  }
  if (!specifier.startsWith(SCOPE)) return undefined;
  const name = SCOPE + shortName(specifier);
  if (name === owner.manifest.name) return 'imports its own package by name';
  if (!IMPORT_TABLE[shortName(owner.manifest.name)]?.includes(shortName(specifier)))
    return `${owner.manifest.name} may not import ${name}`;
  return name in dependenciesOf(owner) ? undefined : `${name} is not declared in ${owner.folder}/package.json`;
}

export function checkImports(files: readonly SourceFile[], packages: readonly Package[]): Problem[] {
  const code = files.filter((file) => isTypeScript(file) && !isForeign(file));
  return code.flatMap((file) => {
    const owner = packageOf(file.path, packages);
    if (!owner) return [`${file.path}: lies in no package`];
    return importsOf(file.text).flatMap(({ specifier, line }) => {
      const wrong = checkImport(file, specifier, owner, packages);
      return wrong ? [`${file.path}:${line}: ${wrong} (${specifier})`] : [];
    });
  });
}
