/**
 * Who may import whom: the arrows between our packages, by package name without the scope.
 * Promise: the one place that says so; package.json files and import statements are held to it.
 */

export const SCOPE = '@tallystick/';

const PLANES = ['identity', 'hosting', 'treasury'] as const;
const PURE = ['proto', 'kernel'] as const;
const WRITERS_SEE = [...PURE, 'engine', 'surface', 'planes', ...PLANES] as const;

/** Package -> the packages of ours that it may import. */
export const IMPORT_TABLE: Readonly<Record<string, readonly string[]>> = {
  proto: [],
  kernel: ['proto'],
  identity: PURE,
  hosting: PURE,
  treasury: PURE,
  planes: [...PURE, ...PLANES],
  engine: PURE,
  surface: PURE,
  api: WRITERS_SEE,
  meter: WRITERS_SEE,
  'sandbox-agent': PURE,
  sdk: [...PURE, 'surface'],
  verifier: [...PURE, 'planes'],
  terminal: ['proto', 'sdk', 'verifier'],
  local: ['proto', 'sdk', 'engine'],
  bench: [...WRITERS_SEE, 'sandbox-agent', 'sdk', 'verifier', 'terminal', 'local'],
  acceptance: ['proto', 'sdk'],
  laws: [...WRITERS_SEE, 'api', 'meter'],
  tools: [],
  contracts: ['proto', 'surface'],
};
