/**
 * Sandboxes: the table of everything one can be asked.
 * Promise: one command, one rule; whatever is not in the table is a bug of the caller.
 */
import type { Command, Decider, Decision, Reads, Seen } from '@tallystick/kernel';
import { egressReads, setEgress } from './egress.ts';
import { openingReads, openSandbox } from './open-sandbox.ts';
import { closePort, exposePort, reachReads } from './reach.ts';
import {
  assumeEnded,
  failStart,
  reportEnded,
  reportFrozen,
  reportLost,
  reportStarted,
  reportStartFailed,
  reportThawed,
} from './reports.ts';
import { evolveSandbox, NO_SANDBOX, type SandboxState } from './sandbox-state.ts';
import { sendSecrets } from './secret.ts';
import { salesReads, sellMinute } from './sell.ts';
import {
  extendSandbox,
  extensionReads,
  finishExec,
  noteSnapshot,
  recordActivity,
  recordUpload,
  startExec,
  stopAtTtl,
  stopSandbox,
  touchSandbox,
} from './use.ts';

type Rule = (state: SandboxState, command: Command, seen: Seen) => Decision;

const RULES: Record<string, Rule> = {
  OpenSandbox: openSandbox,
  SellMinute: sellMinute,
  ReportStarted: reportStarted,
  ReportStartFailed: reportStartFailed,
  FailStart: failStart,
  ReportFrozen: reportFrozen,
  ReportThawed: reportThawed,
  ReportEnded: reportEnded,
  ReportLost: reportLost,
  AssumeEnded: assumeEnded,
  StopSandbox: stopSandbox,
  NoteSnapshot: noteSnapshot,
  StopAtTtl: stopAtTtl,
  ExtendSandbox: extendSandbox,
  TouchSandbox: touchSandbox,
  StartExec: startExec,
  FinishExec: finishExec,
  RecordUpload: recordUpload,
  RecordActivity: recordActivity,
  SendSecrets: sendSecrets,
  ExposePort: exposePort,
  ClosePort: closePort,
  SetEgress: setEgress,
};

const PREFIX = 'sandbox:';

export const sandbox: Decider<SandboxState> = {
  kind: 'sandbox',
  initial: NO_SANDBOX,
  reads,
  decide(state, command, seen) {
    const rule = RULES[command.type];
    if (!rule) throw new TypeError(`a sandbox knows no command ${command.type}`);
    return rule(state, command, seen);
  },
  evolve: evolveSandbox,
  owner: (state) => state.owner || null,
};

function reads(command: Command): Reads {
  const id = command.stream.slice(PREFIX.length);
  if (command.type === 'OpenSandbox') return openingReads(command);
  if (command.type === 'SellMinute') return salesReads(id, command);
  if (command.type === 'ExposePort') return reachReads(command);
  if (command.type === 'SetEgress') return egressReads(command);
  return command.type === 'ExtendSandbox' ? extensionReads(id, command) : {};
}
