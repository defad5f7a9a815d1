/**
 * The one door of the hosting plane: jobs, sandboxes and the leases of their minutes.
 * Promise: nothing here reads a clock or the world; money moves only as postings that a decision returns.
 */
export { unfunded, waitingFor } from './access.ts';
export type { ClampState } from './clamp.ts';
export type { EgressState } from './egress-state.ts';
export type { StopReason } from './ending.ts';
export { BURNING, burnMicrosPerHour, fundedUntilUs } from './forecast.ts';
export { type FundingState, funding, fundingStream, WAITING_MAX, type WaitingSandbox } from './funding.ts';
export { IMAGES, type Image } from './images.ts';
export { job } from './job.ts';
export type { AttachedSandbox, JobState, JobStatus } from './job-state.ts';
export { graceEndsUs, lostAfterMs, REPORT_ALLOWANCE_MS, renewBeforeMs, START_ALLOWANCE_MS } from './lease.ts';
export { type Allowance, allowanceOf, DEFAULT_POLICY, type HostingPolicy, type Tier } from './policy.ts';
export { pricePerMinute, pricePerQuantum } from './price.ts';
export { type ProviderState, type ProviderStatus, provider, providerStream } from './provider.ts';
export { type OpenPort, openPortsAt, type PortVisibility } from './reach-state.ts';
export { HOSTING_REACTIONS } from './reactions.ts';
export { sandbox } from './sandbox.ts';
export { endSnapshotOf, type SandboxState, type SandboxStatus, type Step } from './sandbox-state.ts';
export { SNAPSHOT_DISK_MIB_MIN, snapshot, snapshotStream } from './snapshot.ts';
export type { SnapshotState, SnapshotStatus } from './snapshot-state.ts';
export { EXECS_IN_FLIGHT_MAX, NOT_STARTED } from './use.ts';
