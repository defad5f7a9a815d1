/**
 * The engine's door: one write path, reading, timers, outgoing work, audit.
 * Promise: knows no plane; rules and handlers are arguments.
 */
export { createEngine, type Engine, type EngineOptions } from './commit/engine.ts';
export { Fault } from './fault.ts';
export { type Outcome, receiptIdOf, receiptPlace } from './outcome.ts';
