/**
 * Providers of sandboxes: the port and its adapters.
 * Promise: whoever passes the suite in contract.ts may stand behind the port.
 */
export { type LocalProviderOptions, localProvider } from './local.ts';
export { type MockProvider, type MockProviderOptions, mockProvider } from './mock.ts';
export {
  type Body,
  type ByteRange,
  type Created,
  type Descriptor,
  type ExecEnd,
  type ExecSpec,
  type ExecView,
  type FactValue,
  type FileEntry,
  type FinishOrder,
  type OutputChunk,
  type OutputPage,
  type OutputQuery,
  type Provider,
  type ProviderEvent,
  type ProviderEventName,
  type ProviderEventPage,
  ProviderFault,
  type ProviderFaultKind,
  type SandboxAttestation,
  type SandboxSpec,
  type SandboxView,
  type SecretsOrder,
  type SecretView,
  type SnapshotRef,
  type SnapshotView,
  type StdinPlace,
  type TerminalSize,
} from './port.ts';
export type {
  EgressDecision,
  EgressOrder,
  EgressPage,
  EgressPolicy,
  EgressView,
} from './port-egress.ts';
export type {
  FileEvent,
  FileEventKind,
  MakeFolder,
  MovePath,
  OpenWatch,
  PathChanged,
  PathStatus,
  RemovePath,
  WatchPage,
  WatchView,
} from './port-files.ts';
