/**
 * What is typed into a command, and the size of its terminal.
 * Promise: a piece is queued or refused at once, and a repeated one is typed once; nothing of it is kept.
 */
import { Buffer } from 'node:buffer';
import type { Engine } from '@tallystick/engine';
import { type Provider, ProviderFault } from '@tallystick/engine/adapters/provider';
import type { ExecService } from '@tallystick/proto';
import { type Handlers, refuse } from '@tallystick/surface';
import { askProvider } from '../provider-refusal.ts';
import { execMessage } from '../views/exec.ts';
import { workingSandbox } from './working-sandbox.ts';

/** One piece; a longer input is sent in several. */
export const STDIN_PIECE_BYTES_MAX = 256 * 1024;
const RETRY_AFTER_MS = 100;
const WRITER_DEFAULT = 'caller';

type InputHandlers = Pick<Handlers<typeof ExecService>, 'writeExecStdin' | 'resizeExec'>;

export const execInputHandlers = (engine: Engine, provider: Provider): InputHandlers => ({
  async writeExecStdin({ id, execId, end, at, writer }, call) {
    await workingSandbox(engine, call, id);
    const bytes = await pieceOf(call.body);
    const place = at === undefined ? undefined : { writer: writer || WRITER_DEFAULT, at: Number(at) };
    const { position } = await askProvider('EXEC_REFUSED', {}, () =>
      provider.writeStdin(id, execId, bytes, end, place).catch(laterWhenFull),
    );
    return { sandboxId: id, execId, position: BigInt(position) };
  },
  async resizeExec({ id, execId, columns, rows }, call) {
    await workingSandbox(engine, call, id);
    const view = await askProvider('EXEC_REFUSED', {}, () => provider.resizeExec(id, execId, { columns, rows }));
    return execMessage(id, view, undefined, '');
  },
});

/** @errors BODY_TOO_LARGE */
async function pieceOf(body: AsyncIterable<Uint8Array> | undefined): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    size += chunk.length;
    if (size > STDIN_PIECE_BYTES_MAX) throw refuse('BODY_TOO_LARGE', { cap_bytes: STDIN_PIECE_BYTES_MAX });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** @errors QUEUE_FULL instead of the provider's word for it; anything else as it is */
function laterWhenFull(fault: unknown): never {
  if (fault instanceof ProviderFault && fault.code === 'stdin_full')
    throw refuse('QUEUE_FULL', { retry_after_ms: RETRY_AFTER_MS });
  throw fault;
}
