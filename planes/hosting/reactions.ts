/**
 * What a job and its sandboxes do because of each other.
 * Promise: pure; each event leads to its commands once, however often it is delivered.
 */
import { type EventPlace, flagIn, type JsonObject, type Reaction, textIn, textsIn } from '@tallystick/kernel';

import { fundingStream, type WaitingSandbox } from './funding.ts';

const SANDBOX_PREFIX = 'sandbox:';
const SNAPSHOT_PREFIX = 'snapshot:';

type Ask = { stream: string; type: string; body: JsonObject };

const sandboxAt = (place: EventPlace): string => place.stream.slice(SANDBOX_PREFIX.length);
const ofJob = (body: JsonObject): string => `job:${textIn(body, 'job')}`;

const stopOf = (sandbox: string, reason: string): Ask => ({
  stream: `${SANDBOX_PREFIX}${sandbox}`,
  type: 'StopSandbox',
  body: { reason },
});

/** A job with an idle timeout hears of what happens in its sandboxes. */
const touching = (on: string): Reaction => ({
  on,
  commands({ body }, place) {
    if (!flagIn(body, 'touches_job')) return [];
    const { cause, is_busy, active_until_us } = body as { cause: string; is_busy: boolean; active_until_us: string };
    const touch = { sandbox: sandboxAt(place), at_pos: place.pos, cause, is_busy, active_until_us };
    return [{ stream: ofJob(body), type: 'TouchJob', body: touch }];
  },
});

/** Money has come: whoever stands still for want of it is asked again. */
const telling = (on: string): Reaction => ({
  on,
  commands: (_event, { owner }) =>
    owner === null ? [] : [{ stream: fundingStream(owner), type: 'TellFunds', body: {} }],
});

const sellAgain =
  (payer: string, day: string) =>
  ({ sandbox, job, provider }: WaitingSandbox): Ask => ({
    stream: `${SANDBOX_PREFIX}${sandbox}`,
    type: 'SellMinute',
    body: { job, payer, provider, day },
  });

export const HOSTING_REACTIONS: readonly Reaction[] = [
  {
    on: 'FundsMissing',
    commands({ body }, place) {
      const waiting = { sandbox: sandboxAt(place), job: textIn(body, 'job'), provider: textIn(body, 'provider') };
      return [{ stream: fundingStream(place.owner ?? ''), type: 'AwaitFunds', body: waiting }];
    },
  },
  {
    on: 'FundsTold',
    commands: ({ body }, { owner }) =>
      (body['waiting'] as WaitingSandbox[]).map(sellAgain(owner ?? '', textIn(body, 'day'))),
  },
  ...['DepositCredited', 'DepositClaimed'].map(telling),
  {
    on: 'SandboxOpened',
    commands: ({ body }, place) => [
      { stream: ofJob(body), type: 'AttachSandbox', body: { sandbox: sandboxAt(place) } },
    ],
  },
  {
    on: 'SandboxEnded',
    commands: ({ body }, place) => [
      { stream: ofJob(body), type: 'DetachSandbox', body: { sandbox: sandboxAt(place) } },
    ],
  },
  {
    on: 'SandboxStopping',
    commands: ({ body }) =>
      body['reason'] === 'job_cap' ? [{ stream: ofJob(body), type: 'StopJob', body: { reason: 'job_cap' } }] : [],
  },
  {
    on: 'JobStopped',
    commands: ({ body }) => textsIn(body, 'sandboxes').map((id) => stopOf(id, textIn(body, 'reason'))),
  },
  {
    on: 'SandboxStopAsked',
    commands: ({ body }) => [stopOf(textIn(body, 'sandbox'), textIn(body, 'reason'))],
  },
  {
    on: 'SnapshotTaken',
    commands({ body }, place) {
      if (body['cause'] !== 'on_end') return [];
      const snapshot = place.stream.slice(SNAPSHOT_PREFIX.length);
      return [{ stream: `${SANDBOX_PREFIX}${textIn(body, 'sandbox')}`, type: 'NoteSnapshot', body: { snapshot } }];
    },
  },
  ...['ExecStarted', 'ExecFinished', 'UploadRecorded', 'ActivityRecorded', 'SandboxTouched'].map(touching),
];
