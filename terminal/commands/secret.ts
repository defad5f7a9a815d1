/**
 * `tally secret` and `tally sandbox attestation`: what a machine says of itself, and values sealed to it here.
 * Promise: a value is typed unseen or read from a file or standard input, never from the command line, and is printed nowhere.
 */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { ReleasedSecret } from '@tallystick/sdk';
import { Argument, type Command } from 'commander';
import { askHidden } from '../hidden-prompt.ts';
import type { Io } from '../io.ts';
import type { Column } from '../output/render.ts';
import { UsageError } from '../text/usage-error.ts';
import { addCommand, given, idOf, onRun, type World, withKey } from './command.ts';

/** More than any secret has; what is longer is refused when it is sealed. */
const VALUE_BYTES_MAX = 64 * 1024;

const COLUMNS: Column[] = [
  { field: 'name', heading: 'SECRET' },
  { field: 'commitment', heading: 'COMMITMENT' },
  { field: 'released_at', heading: 'RELEASED' },
];

const sandboxArgument = (): Argument => new Argument('<sandbox>', 'id of the sandbox: sbx_…').argParser(idOf('sbx'));

const withWardenKey = (command: Command): Command =>
  command.option('--warden-key <base64>', "the warden's key as its operator tells it; any other is refused");

export function addSecretCommands(program: Command, world: World): void {
  const secret = program.command('secret').summary('values that only the machine of a sandbox can read');
  addPut(secret, world);
  addList(secret, world);
}

interface PutOptions {
  fromFile?: string;
  stdin?: boolean;
  exact?: boolean;
  wardenKey?: string;
  key?: string;
}

function addPut(secret: Command, world: World): void {
  const put = addCommand(secret, {
    usage: 'put',
    summary: 'verify the machine, seal a value to it and release it to the sandbox',
    examples: [
      'tally secret put sbx_0192… API_TOKEN                      asks for the value, which is not shown',
      'tally secret put sbx_0192… API_TOKEN --from-file token.txt',
      'pass show api | tally secret put sbx_0192… API_TOKEN',
      'tally exec sbx_0192… --secret API_TOKEN -- ./deploy.sh',
    ],
  })
    .addArgument(sandboxArgument())
    .argument('<name>', 'a name like API_TOKEN: the environment variable, and the file below /run/secrets')
    .option('--from-file <file>', 'the value: this file without one line end at its end; -: standard input')
    .option('--stdin', 'the same as --from-file - (the default where nobody can be asked)')
    .option('--exact', 'every byte, also a line end at the end');
  onRun<PutOptions>(world, withKey(withWardenKey(put)), async ({ io, out, connect }, [id, name], options) => {
    const { wardenKey, key } = options;
    const { value, isCut } = await readValue(io, name!, options);
    if (isCut) await out.note('the line end at its end is not part of the value (--exact keeps it)');
    const sandbox = (await connect()).sandboxes.attach(id!);
    const secrets = await named(() => sandbox.releaseSecrets({ [name!]: value }, given({ wardenKey, key })));
    await out.list('secrets', secrets.map(rowOf), COLUMNS);
  });
}

/** A wrong name or size is a wrong use. */
async function named<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (fault) {
    if (fault instanceof TypeError && fault.constructor === TypeError && fault.cause === undefined)
      throw new UsageError(`${fault.message}.`, 'Names are like API_TOKEN; values have 8 to 16384 bytes.');
    throw fault;
  }
}

interface Value {
  value: Buffer;
  /** It had a line end at its end. */
  isCut: boolean;
}

async function readValue(io: Io, name: string, { fromFile, stdin, exact }: PutOptions): Promise<Value> {
  if (fromFile !== undefined && stdin)
    throw new UsageError('Two values for one secret.', 'Write --from-file or --stdin.');
  const isFile = fromFile !== undefined && fromFile !== '-';
  if (fromFile === undefined && !stdin && io.stdin.isTTY) return askValue(io, name);
  const bytes = isFile ? await readFile(resolve(io.folder, fromFile)) : await readBounded(io);
  const lineEnd = /\r?\n$/.exec(bytes.toString('latin1'));
  if (exact || !lineEnd) return { value: bytes, isCut: false };
  return { value: bytes.subarray(0, lineEnd.index), isCut: true };
}

/** @errors UsageError when the question was left */
async function askValue(io: Io, name: string): Promise<Value> {
  const typed = await askHidden(io, `Value of ${name} (not shown): `);
  if (typed === undefined) throw new UsageError('No value was given.', 'Type it, or name a file with --from-file.');
  return { value: Buffer.from(typed), isCut: false };
}

async function readBounded({ stdin }: Io): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of stdin as AsyncIterable<Uint8Array>) {
    chunks.push(Buffer.from(chunk));
    bytes += chunk.length;
    if (bytes > VALUE_BYTES_MAX) break;
  }
  return Buffer.concat(chunks);
}

function addList(secret: Command, world: World): void {
  const list = addCommand(secret, {
    usage: 'list',
    summary: 'list the names of the secrets that a sandbox has',
    examples: ['tally secret list sbx_0192…'],
  }).addArgument(sandboxArgument());
  onRun(world, list, async ({ out, connect }, [id]) => {
    const secrets = await (await connect()).sandboxes.attach(id!).secrets();
    await out.list('secrets', secrets.map(rowOf), COLUMNS);
  });
}

function rowOf({ name, commitment, releasedAt }: ReleasedSecret) {
  const released = releasedAt ? new Date(Number(releasedAt.seconds) * 1000).toISOString() : null;
  return { name, commitment, released_at: released };
}

/** Below `tally sandbox`. */
export function addAttestationCommand(sandbox: Command, world: World): void {
  const attestation = addCommand(sandbox, {
    usage: 'attestation',
    summary: "ask the sandbox's machine what it is, for a fresh nonce, and verify its signature",
    examples: ['tally sandbox attestation sbx_0192…', 'tally sandbox attestation sbx_0192… --warden-key mYk… --json'],
  }).addArgument(sandboxArgument());
  onRun<{ wardenKey?: string }>(world, withWardenKey(attestation), async ({ out, connect }, [id], { wardenKey }) => {
    const told = await (await connect()).sandboxes.attach(id!).attest(given({ wardenKey }));
    await out.record({ ...told });
  });
}
