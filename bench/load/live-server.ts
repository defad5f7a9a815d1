/**
 * The server side of the benchmark `live`, a program of its own: `node live-server.ts ours|naive`.
 * Promise: both kinds tell every reader of every receipt appended here; the parent says when to append and asks for the cost.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { create, toBinary } from '@bufbuild/protobuf';
import { EventSchema } from '@tallystick/proto';
import { attachLive, type LiveEvent, type LiveTopic } from '@tallystick/surface';
import { WebSocketServer } from 'ws';

/** What the parent may ask. */
export type LiveOrder = { append: number } | 'cost';
export interface LiveCost {
  /** User and system time of this process, microseconds. */
  cpuUs: number;
  /** Time spent inside `append`, microseconds. */
  appendUs: number;
}

/** About as long as the receipt of a sold minute. */
const RECEIPT_TEXT = JSON.stringify({ type: 'MinuteSold', stream: 'sandbox:sbx_1', padding: 'x'.repeat(900) });
const FIRST_AT_S = 1_767_225_600n;

/** Appends so many events. */
type Append = (count: number) => void;

/** A log in memory with the stored form of each event, as the database holds it. */
function ourLog(): { append: Append; topic: LiveTopic } {
  const events: LiveEvent[] = [];
  const wakes = new Set<() => void>();
  const push = (): void => {
    const cursor = BigInt(events.length + 1);
    const receipt = { receiptId: `rcp_${cursor}`, body: RECEIPT_TEXT };
    const event = create(EventSchema, {
      cursor,
      at: { seconds: FIRST_AT_S, nanos: 0 },
      body: { case: 'receipt', value: receipt },
    });
    events.push({ cursor, bytes: toBinary(EventSchema, event) });
  };
  const topic: LiveTopic = {
    epoch: 'bench',
    oldest: () => 0n,
    head: () => BigInt(events.length),
    read: async (after, limit) => events.slice(Number(after), Number(after) + limit),
    onAppend(wake) {
      wakes.add(wake);
      return () => wakes.delete(wake);
    },
  };
  const append = (count: number): void => {
    for (let made = 0; made < count; made++) push();
    for (const wake of wakes) wake();
  };
  return { append, topic };
}

function serveOurs(server: ReturnType<typeof createServer>): Append {
  const { append, topic } = ourLog();
  const principal = { id: 'reader', keyId: 'key_1', scopes: new Set<string>() };
  attachLive(server, { authenticate: () => principal, open: () => topic, log: console.error });
  return append;
}

/** One JSON text per event and reader, sent whether the reader reads or not. */
function serveNaively(server: ReturnType<typeof createServer>): Append {
  const sockets = new WebSocketServer({ server, perMessageDeflate: false });
  let cursor = 0;
  return (count) => {
    for (let made = 0; made < count; made++) {
      cursor++;
      const receipt = { receipt_id: `rcp_${cursor}`, body: RECEIPT_TEXT };
      for (const socket of sockets.clients)
        socket.send(JSON.stringify({ cursor, at: '2026-01-01T00:00:00Z', receipt }));
    }
  };
}

if (import.meta.main) {
  const server = createServer();
  const append = process.argv[2] === 'ours' ? serveOurs(server) : serveNaively(server);
  let appendMs = 0;
  process.on('message', (order: LiveOrder) => {
    if (order === 'cost') {
      const { user, system } = process.cpuUsage();
      const cost: LiveCost = { cpuUs: user + system, appendUs: appendMs * 1000 };
      process.send?.(cost);
      return;
    }
    const startMs = performance.now();
    append(order.append);
    appendMs += performance.now() - startMs;
  });
  process.on('disconnect', () => process.exit());
  server.listen(0, '127.0.0.1', () =>
    process.send?.({ url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}` }),
  );
}
