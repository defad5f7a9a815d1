/**
 * `node tools/solidity/compile.ts [--check]`: compiles the chain's contracts into the file that programs read.
 * Promise: the same sources give the same bytes; no program needs a compiler.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..', '..');
const CHAIN = join(ROOT, 'engine', 'adapters', 'chain');
const SOURCES = join(CHAIN, 'contracts');
const ARTIFACTS = join(CHAIN, 'derived', 'artifacts.json');
const OPTIMIZER_RUNS = 200;
const SETTINGS = {
  evmVersion: 'cancun',
  optimizer: { enabled: true, runs: OPTIMIZER_RUNS },
  metadata: { bytecodeHash: 'none' },
  outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object', 'evm.deployedBytecode.object'] } },
};

interface Compiler {
  compile(input: string, callbacks: { import(path: string): { contents: string } | { error: string } }): string;
}

interface Compiled {
  abi: unknown[];
  evm: { bytecode: { object: string }; deployedBytecode: { object: string } };
}

interface Output {
  errors?: { severity: string; formattedMessage: string }[];
  contracts: Record<string, Record<string, Compiled>>;
}

const libraryFile = (path: string): { contents: string } | { error: string } => {
  const file = join(ROOT, 'node_modules', path);
  return existsSync(file) ? { contents: readFileSync(file, 'utf8') } : { error: `${path} is not installed` };
};

/** @errors throws with the compiler's words when a source does not compile */
export function compileContracts(): string {
  const compiler = createRequire(import.meta.url)('solc') as Compiler;
  const files = readdirSync(SOURCES).filter((name) => name.endsWith('.sol'));
  const sources = Object.fromEntries(
    files.map((name) => [name, { content: readFileSync(join(SOURCES, name), 'utf8') }]),
  );
  const input = JSON.stringify({ language: 'Solidity', sources, settings: SETTINGS });
  const output = JSON.parse(compiler.compile(input, { import: libraryFile })) as Output;
  const faults = (output.errors ?? []).filter(({ severity }) => severity === 'error');
  if (faults.length > 0) throw new Error(faults.map(({ formattedMessage }) => formattedMessage).join('\n'));
  const contracts = files.flatMap((name) => Object.entries(output.contracts[name] ?? {}));
  const artifacts = contracts.map(([name, { abi, evm }]) => [
    name,
    { abi, bytecode: `0x${evm.bytecode.object}`, deployed: `0x${evm.deployedBytecode.object}` },
  ]);
  return `${JSON.stringify(Object.fromEntries(artifacts))}\n`;
}

if (import.meta.main) {
  const compiled = compileContracts();
  if (!process.argv.includes('--check')) writeFileSync(ARTIFACTS, compiled);
  else if (compiled !== readFileSync(ARTIFACTS, 'utf8')) {
    console.error(
      'engine/adapters/chain/derived/artifacts.json is not what its sources compile to: run it without --check',
    );
    process.exitCode = 1;
  }
}
