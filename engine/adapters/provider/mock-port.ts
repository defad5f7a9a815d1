/**
 * Ports of the mock's sandboxes: a running `node listen.mjs PORT` says back whatever it hears.
 * Promise: no socket of this machine is opened; a stream ends with its command or its sandbox.
 */
import { Duplex } from 'node:stream';
import type { MockExec, MockSandbox } from './mock-sandbox.ts';
import { ProviderFault } from './port.ts';

function listensOn({ argv, end }: MockExec, port: number): boolean {
  const [program, file = '', number] = argv;
  return end === null && program === 'node' && file.endsWith('listen.mjs') && Number(number) === port;
}

/** @errors throws ProviderFault `port_closed` */
export function openMockPort(sandbox: MockSandbox, port: number): Duplex {
  const listener = [...sandbox.execs.values()].find((exec) => listensOn(exec, port));
  if (!listener) throw new ProviderFault('refused', 'port_closed', 'nothing listens on that port of the sandbox');
  const stream: Duplex = new Duplex({
    allowHalfOpen: true,
    read: () => {},
    write(chunk, _, taken) {
      if (listener.end === null) stream.push(chunk);
      else stream.destroy();
      taken();
    },
    final(done) {
      stream.push(null);
      done();
    },
  });
  sandbox.streams.add(stream);
  stream.on('close', () => sandbox.streams.delete(stream));
  return stream;
}
