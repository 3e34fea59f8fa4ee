/** Writes the lengths of a run that ends: makes its stream once, from the first step to the last, and that of its validation, and takes down how long their sequences are. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { Config } from './config/config.js';
import { throwIfAborted } from './core/abort.js';
import { HeadraceError } from './core/errors.js';
import { openPipeline, type Pipeline } from './pipeline.js';
import { lanesCanEnd, runCanEnd } from './planning.js';
import { isLocalUri } from './store/open-store.js';
import { shownUri } from './store/schemes.js';
import { LengthsBuilder } from './stream/lengths.js';
import { saveLengths, type SplitLengths } from './stream/saved-lengths.js';

export interface MeasuringOptions {
  /** Directory for `run.lengths`; `undefined`: the file is where `lengths` says. */
  readonly outDir: string | undefined;
  /** The first so many, and no more; `undefined`: to the end of the run. */
  readonly steps: number | undefined;
  readonly signal: AbortSignal;
  /** Told of what is worth a line in a log, and is no error. */
  readonly warn: (message: string, detail: Readonly<Record<string, string | number>>) => void;
  readonly onProgress: (progress: MeasuringProgress) => void;
}

export interface MeasuringProgress {
  /** That were made. */
  readonly steps: number;
  readonly sequences: number;
  readonly tokens: number;
}

export interface WrittenLengths extends MeasuringProgress {
  /** Of validation, where documents are held out for it. */
  readonly validationSteps?: number;
  readonly file: string;
  readonly bytes: number;
  readonly planFingerprint: string;
}

/** The run itself is not disturbed: nothing is claimed or recorded. Errors: `CONFIG_INVALID`, those of a stream and of writing. */
export async function writeLengths(config: Config, options: MeasuringOptions): Promise<WrittenLengths> {
  const { steps: stepsEnd, signal, warn, onProgress } = options;
  const file = targetOf(config, options.outDir);
  checkEnd(config, stepsEnd);
  const { lanes } = config.batch;
  const newBuilder = (): LengthsBuilder => new LengthsBuilder(config.sources.length, lanes, config.sequence.length);
  const builders = { train: newBuilder(), validation: newBuilder() };
  const builder = builders.train;
  const measured: Config = { ...config, lengths: undefined };
  const pipeline = await openPipeline(measured, {
    signal,
    warn,
    observe: 'cursor',
    onTaken: (taken, split) => builders[split].add(taken),
  });
  let validation: (SplitLengths & { readonly steps: number }) | undefined;
  let progress: MeasuringProgress = { steps: 0, sequences: 0, tokens: 0 };
  try {
    for await (const { step, tokens } of pipeline.batches(stepsEnd === undefined ? {} : { stepsEnd })) {
      throwIfAborted(signal);
      progress = { steps: step + 1, sequences: builder.sequences, tokens: progress.tokens + tokens };
      onProgress(progress);
    }
    if (config.validation !== undefined) validation = await measureValidation(pipeline, builders.validation, signal);
  } finally {
    await pipeline.close();
  }
  const { plan, planFingerprint } = pipeline.info;
  await saveLengths(file, plan, builder.finish(), validation);
  const { size: bytes } = await stat(file);
  return {
    ...progress,
    sequences: builder.sequences,
    ...(validation && { validationSteps: validation.steps }),
    file,
    bytes,
    planFingerprint,
  };
}

/** All of it, however many steps of training are measured: it always ends. */
async function measureValidation(
  pipeline: Pipeline,
  builder: LengthsBuilder,
  signal: AbortSignal,
): Promise<SplitLengths & { readonly steps: number }> {
  const stream = pipeline.openStream({ split: 'validation' });
  try {
    let steps = 0;
    for (; (await stream.next()) !== undefined; steps++) throwIfAborted(signal);
    return { plan: stream.start.plan, columns: builder.finish(), steps };
  } finally {
    stream.close();
  }
}

/** Errors: `CONFIG_INVALID`. */
function checkEnd(config: Config, steps: number | undefined): void {
  if (!lanesCanEnd(config)) {
    const message = 'no lane of this run can end: every sidecar knows without lengths which lanes it has to compute';
    throw new HeadraceError('CONFIG_INVALID', message, {
      detail: { field: 'epochs' },
      hint: 'Lengths are for runs with `epochs` or `maxTokens`.',
    });
  }
  if (steps !== undefined || runCanEnd(config)) return;
  throw new HeadraceError(
    'CONFIG_INVALID',
    'some lanes of this run may end, and the run itself may not: there is no last step to measure',
    {
      detail: { field: 'epochs' },
      hint: 'Say with --steps how many steps to measure; beyond them every sidecar computes what it needs to know.',
    },
  );
}

function targetOf({ lengths }: Config, outDir: string | undefined): string {
  if (outDir !== undefined) return path.resolve(outDir, 'run.lengths');
  if (lengths !== undefined && isLocalUri(lengths)) return lengths.replace(/^file:\/\//, '');
  const message =
    lengths === undefined
      ? 'there is no place for the lengths: neither --out nor `lengths` is given'
      : `the lengths cannot be written to ${shownUri(lengths)}: headrace writes files only`;
  throw new HeadraceError('CONFIG_INVALID', message, {
    detail: { field: 'lengths' },
    hint: 'Give --out DIR, copy the file to where every machine can read it, and name it in `lengths`.',
  });
}
