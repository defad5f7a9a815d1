/**
 * Fuzzing of parsers: inputs made by damaging good ones, and by chance alone.
 * Promise: a seed gives the same inputs everywhere; a failure names seed, number and input, and nothing else is random.
 */

/** A number in [0, max). */
export type Dice = (max: number) => number;

/** xorshift32: quick, and the same on every machine. */
export function diceOf(seed: number): Dice {
  let state = seed >>> 0 || 1;
  return (max) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % max;
  };
}

export interface Fuzz {
  /** How many inputs. */
  inputs: number;
  seed: number;
  /** Well-formed ones, of which most inputs are made. */
  samples: readonly Uint8Array[];
  /** @errors throws when a promise of the parser is broken */
  check(input: Uint8Array, number: number): void | Promise<void>;
  /** Processor time that one input may take at most; a busy machine makes no input slower by this clock. */
  inputMsMax?: number;
  /** `process.cpuUsage`, in microseconds. */
  cpuUsage: () => { user: number; system: number };
}

const INPUT_BYTES_MAX = 65_536;
const DAMAGES_MAX = 4;
const SHOWN_BYTES_MAX = 512;
const INPUT_MS_MAX = 2_000;
const US_PER_MS = 1_000;
/** Bytes that mean something to one of the parsers. */
const TELLING = Buffer.from('{}[]",:\\/-+.0123456789eE \n\r\t\0=_~%@|\u2014\ufeff\u00e9');
const WORDS = [
  '__proto__',
  '9007199254740993',
  '-0',
  '1e5',
  '\\ud800',
  '\\u0000',
  'null',
  '"a":1,"a":1',
  '[[[[[[',
  '\n\n',
].map((word) => Buffer.from(word));

/** @errors throws the first failure, with what repeats it */
export async function fuzz({ inputs, seed, samples, check, cpuUsage, inputMsMax = INPUT_MS_MAX }: Fuzz): Promise<void> {
  const usedMs = (): number => (cpuUsage().user + cpuUsage().system) / US_PER_MS;
  const dice = diceOf(seed);
  for (let number = 0; number < inputs; number++) {
    const input = number < samples.length ? samples[number]! : damaged(dice, samples);
    const startedAtMs = usedMs();
    try {
      await check(input, number);
    } catch (cause) {
      throw new Error(told(seed, number, input, String(cause)), { cause });
    }
    const tookMs = usedMs() - startedAtMs;
    if (tookMs > inputMsMax)
      throw new Error(told(seed, number, input, `took ${Math.round(tookMs)} ms of processor time`));
  }
}

const told = (seed: number, number: number, input: Uint8Array, what: string): string =>
  `input ${number} of seed ${seed}: ${what}; ${input.length} bytes in base64: ${Buffer.from(input.subarray(0, SHOWN_BYTES_MAX)).toString('base64')}`;

/** A sample with one to four wounds; now and then no sample at all. */
export function damaged(dice: Dice, samples: readonly Uint8Array[]): Uint8Array {
  if (samples.length === 0 || dice(20) === 0) return noise(dice, dice(200));
  let input: Uint8Array = samples[dice(samples.length)]!;
  for (let count = 1 + dice(DAMAGES_MAX); count > 0; count--)
    input = DAMAGES[dice(DAMAGES.length)]!(input, dice, samples);
  return input.subarray(0, INPUT_BYTES_MAX);
}

type Damage = (input: Uint8Array, dice: Dice, samples: readonly Uint8Array[]) => Uint8Array;

const spliced = (input: Uint8Array, from: number, to: number, put: Uint8Array): Uint8Array =>
  Buffer.concat([input.subarray(0, from), put, input.subarray(to)]);

/** Where, and how far at most. */
const stretch = (input: Uint8Array, dice: Dice): [number, number] => {
  const from = dice(input.length + 1);
  return [from, Math.min(input.length, from + 1 + dice(16))];
};

const DAMAGES: readonly Damage[] = [
  (input, dice) => {
    if (input.length === 0) return input;
    const changed = Uint8Array.from(input);
    changed[dice(changed.length)]! ^= 1 << dice(8);
    return changed;
  },
  (input, dice) => {
    const at = dice(input.length + 1);
    return spliced(
      input,
      at,
      Math.min(at + dice(2), input.length),
      TELLING.subarray(dice(TELLING.length)).subarray(0, 1),
    );
  },
  (input, dice) => {
    const at = dice(input.length + 1);
    return spliced(input, at, at, WORDS[dice(WORDS.length)]!);
  },
  (input, dice) => spliced(input, ...stretch(input, dice), Buffer.alloc(0)),
  (input, dice) => {
    const [from, to] = stretch(input, dice);
    return spliced(input, to, to, input.subarray(from, to));
  },
  (input, dice) => spliced(input, ...stretch(input, dice), noise(dice, dice(8))),
  (input, dice) => input.subarray(0, dice(input.length + 1)),
  (input, dice, samples) => {
    const other = samples[dice(samples.length)]!;
    return Buffer.concat([input.subarray(0, dice(input.length + 1)), other.subarray(dice(other.length + 1))]);
  },
  (input, dice) => {
    const [from, to] = stretch(input, dice);
    const part = input.subarray(from, to);
    return spliced(input, to, to, Buffer.concat(Array.from({ length: 1 + dice(100) }, () => part)));
  },
];

function noise(dice: Dice, length: number): Uint8Array {
  const isText = dice(2) === 0;
  return Uint8Array.from({ length }, () => (isText ? TELLING[dice(TELLING.length)]! : dice(256)));
}

/** Small enough for every run; the long suite asks for a million. */
const INPUTS_DEFAULT = 2_000;

export interface FuzzBudget {
  inputs: number;
  seed: number;
}

/**
 * `TALLY_FUZZ_INPUTS` and `TALLY_SEED` of an environment.
 * @errors throws RangeError when one of them is no whole number
 */
export function fuzzBudgetOf(env: Readonly<Record<string, string | undefined>>, chance: number): FuzzBudget {
  const inputs = Number(env['TALLY_FUZZ_INPUTS'] ?? INPUTS_DEFAULT);
  const seed = Number(env['TALLY_SEED'] ?? Math.floor(chance * 2 ** 31));
  if (!Number.isSafeInteger(inputs) || !Number.isSafeInteger(seed) || inputs < 1)
    throw new RangeError('TALLY_FUZZ_INPUTS and TALLY_SEED are whole numbers');
  return { inputs, seed };
}
