/** What a guest does, it does on Bun as on Node: one table of deeds, run on each that this machine can have. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { type InsideResult, SHAPE, temporaryFolder } from '../testing/rig.ts';
import { prepareGround, removeGround } from './ground.ts';
import { GUEST_RUNTIMES, writeGuest } from './guest-build.ts';
import { bunFile } from './guest-bun.ts';
import type { Call, CallEvents, GuestLink } from './guest-link.ts';
import { Sandbox } from './sandbox.ts';

const MIB = 1 << 20;
const MEMORY_BYTES_MAX = 96 << 20;

interface Deed extends InsideResult {
  meta: Record<string, unknown>[];
}

/** Does one call to its end; `act` may write into it, or hold its credit back. */
function done(
  link: GuestLink,
  verb: 'exec' | 'put' | 'get' | 'list' | 'dial',
  request: object,
  act: (call: Call, said: () => string) => void = () => {},
  takes: (call: Call, bytes: number) => void = (call, bytes) => call.credit(bytes),
): Promise<Deed> {
  const { promise, resolve } = Promise.withResolvers<Deed>();
  const texts = { 1: '', 2: '' };
  const meta: Record<string, unknown>[] = [];
  const finish = (end: Record<string, unknown>): void => resolve({ end, out: texts[1], err: texts[2], meta });
  const events: CallEvents = {
    onBytes: (stream, bytes) => {
      texts[stream] += bytes.toString('latin1');
      takes(call, bytes.length);
    },
    onMeta: (one) => void meta.push(one),
    onEnd: finish,
    onFault: (code) => finish({ fault: code }),
    onLost: () => finish({ fault: 'lost' }),
  };
  const call = link.open(verb, request, events);
  act(call, () => texts[1]);
  return promise;
}

const sh = (line: string, more: object = {}) => ({ argv: ['sh', '-c', line], hasStdin: false, ...more });
const MANY = 4 * MIB;

interface Row {
  what: string;
  does(link: GuestLink): Promise<unknown>;
  gives: unknown;
}

const ROWS: Row[] = [
  {
    what: 'both streams and the code',
    does: async (link) => {
      const { end, out, err } = await done(link, 'exec', sh('echo out; echo err >&2; exit 3'));
      return [end, out, err];
    },
    gives: [{ end: 'exited', code: 3 }, 'out\n', 'err\n'],
  },
  {
    what: 'a program that is not there',
    does: async (link) => (await done(link, 'exec', { argv: ['/nowhere'], hasStdin: false })).end,
    gives: { fault: 'ENOENT' },
  },
  {
    what: 'a folder that is not there',
    does: async (link) => (await done(link, 'exec', sh('true', { cwd: '/nowhere' }))).end,
    gives: { fault: 'ENOENT' },
  },
  {
    what: 'environment and folder, and nothing of its own',
    does: async (link) => (await done(link, 'exec', sh('pwd; env | sort', { cwd: '/tmp', env: { OWN: '1' } }))).out,
    gives:
      '/tmp\nHOME=/home/user\nLANG=C.UTF-8\nOWN=1\nPATH=/opt/node/bin:/usr/local/bin:/usr/bin:/bin\nPWD=/tmp\nUSER=user\n',
  },
  {
    what: 'a time limit on a whole group',
    does: async (link) => (await done(link, 'exec', sh('sleep 60 & sleep 60', { timeoutMs: 100 }))).end,
    gives: { end: 'timeout' },
  },
  {
    what: 'a signal',
    does: async (link) => {
      const request = sh('echo on; exec sleep 60');
      return (await done(link, 'exec', request, undefined, (call) => call.signal('SIGTERM'))).end;
    },
    gives: { end: 'signaled', signal: 'SIGTERM' },
  },
  {
    what: 'a background child that holds the pipes',
    does: async (link) => (await done(link, 'exec', sh('sleep 60 & echo left'))).out,
    gives: 'left\n',
  },
  {
    what: 'much in and out, each byte once',
    does: async (link) => {
      const write = (call: Call): void => void call.write(Buffer.alloc(MANY, 'x')).then(() => call.end());
      const { out } = await done(link, 'exec', { argv: ['cat'], hasStdin: true }, write);
      return [out.length, new Set(out).size];
    },
    gives: [MANY, 1],
  },
  {
    what: 'no byte beyond the credit',
    does: async (link) => {
      const { promise, resolve } = Promise.withResolvers<number>();
      let got = 0;
      const takes = (call: Call, bytes: number): void => {
        got += bytes;
        if (got === MIB) setTimeout(() => resolve(got), 100).unref();
        if (got > MIB) resolve(got);
        void call;
      };
      let call: Call | undefined;
      const flood = done(link, 'exec', sh('cat /dev/zero'), (opened) => (call = opened), takes);
      const most = await promise;
      call?.cancel();
      void flood;
      return most;
    },
    gives: MIB,
  },
  {
    what: 'a file in, listed, and a part of it out',
    does: async (link) => {
      const put = await done(link, 'put', { path: '/home/user/a/b' }, (call) => {
        void call.write(Buffer.from('0123456789')).then(() => call.end());
      });
      const list = await done(link, 'list', { path: '/home/user/a' });
      const get = await done(link, 'get', { path: '/home/user/a/b', start: 2, end: 4 });
      const [entry] = JSON.parse(list.out).entries;
      return [put.end, entry.name, entry.type, entry.bytes, get.meta[0]?.['bytes'], get.out];
    },
    gives: [{ bytes: 10 }, 'b', 'file', 10, 10, '234'],
  },
  {
    what: 'what cannot be read',
    does: async (link) => {
      const get = (path: string) => done(link, 'get', { path });
      return [(await get('/nowhere')).end, (await get('/tmp')).end, (await get('/dev/zero')).end];
    },
    gives: [{ fault: 'ENOENT' }, { fault: 'EISDIR' }, { fault: 'EINVAL' }],
  },
  {
    what: 'a port on its own loopback, one half closed at a time',
    does: async (link) => {
      const server =
        'require("net").createServer({allowHalfOpen:true},s=>{let t="";s.on("data",d=>t+=d);s.on("end",()=>s.end("got "+t))}).listen(8080,"127.0.0.1",()=>console.log("up"))';
      let listening: Call | undefined;
      const up = new Promise<void>((resolve) => {
        void done(
          link,
          'exec',
          { argv: ['node', '-e', server], hasStdin: false },
          (call) => (listening = call),
          () => resolve(),
        );
      });
      await up;
      const dialled = await done(link, 'dial', { port: 8080 }, (call) => {
        void call.write(Buffer.from('hello')).then(() => call.end());
      });
      listening?.cancel();
      return [dialled.meta, dialled.out, dialled.end];
    },
    gives: [[{ connected: true }, { eof: true }], 'got hello', {}],
  },
  {
    what: 'nobody at a port',
    does: async (link) => (await done(link, 'dial', { port: 9 })).end,
    gives: { fault: 'ECONNREFUSED' },
  },
  {
    what: 'a terminal of a size, resized, with its code',
    does: async (link) => {
      const request = { argv: ['sh', '-c', 'stty size; read x; stty size; exit 7'], hasStdin: true };
      const tty = { columns: 91, rows: 33 };
      let opened: Call | undefined;
      const { end, out } = await done(
        link,
        'exec',
        { ...request, tty },
        (call) => (opened = call),
        (call, bytes) => {
          call.credit(bytes);
          opened?.resize({ columns: 120, rows: 40 });
          void opened?.write(Buffer.from('\r'));
          opened = undefined;
        },
      );
      return [end, out.match(/\d+ \d+/g)];
    },
    gives: [{ end: 'exited', code: 7 }, ['33 91', '40 120']],
  },
  {
    what: 'several terminals at once, one of them killed',
    does: async (link) => {
      const tty = { columns: 80, rows: 24 };
      const kill = (call: Call): void => call.signal('SIGKILL');
      const one = done(link, 'exec', { ...sh('echo one; exec sleep 60'), tty }, undefined, kill);
      const other = done(link, 'exec', { ...sh('sleep 0.2; echo two'), tty });
      return [(await one).end, (await other).end, (await other).out];
    },
    gives: [{ end: 'signaled', signal: 'SIGKILL' }, { end: 'exited', code: 0 }, 'two\r\n'],
  },
  {
    what: 'a terminal for a program that is not there',
    does: async (link) => {
      const tty = { columns: 80, rows: 24 };
      return (await done(link, 'exec', { argv: ['nowhere'], hasStdin: true, tty })).end;
    },
    gives: { fault: 'ENOENT' },
  },
];

for (const runtime of GUEST_RUNTIMES) {
  const isHere = runtime === 'node' || bunFile() !== undefined;
  describe(`a guest on ${runtime}`, { skip: !isHere && 'its package is not installed on this machine' }, () => {
    const folder = temporaryFolder();
    let ground: Awaited<ReturnType<typeof prepareGround>>;
    let sandbox: Sandbox;

    before(async () => {
      ground = await prepareGround(folder, 'ns', undefined, runtime);
      assert.equal(ground.guestRuntime, runtime);
      const shape = { ...SHAPE, memoryBytesMax: MEMORY_BYTES_MAX };
      sandbox = await (await Sandbox.launch(ground, 's0', ground.hostUidFirst, shape)).ready();
    });
    after(async () => {
      await sandbox.destroy();
      await removeGround(ground, folder);
      rmSync(folder, { recursive: true, force: true });
    });

    for (const { what, does, gives } of ROWS) {
      test(what, async () => assert.deepEqual(await does(sandbox.link), gives));
    }
  });
}

test('Bun is asked for where it is not: refused, and where nothing is asked for Node runs the guest', (context) => {
  if (bunFile() !== undefined) return context.skip('it is installed on this machine');
  const folder = temporaryFolder();
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  assert.throws(() => writeGuest(folder, 'bun'), { code: 'no_bun' });
  assert.equal(writeGuest(folder, undefined), 'node');
});
