/** Streams as tests look at them: a pipeline opened, read to some end and closed, and what came. */
import { openPipeline, type Batch, type ConfigInput, type Cursor, type Pipeline, type PipelineOptions } from 'headrace';
import { expect } from 'vitest';
import { SEGMENT_FIELDS, SEGMENT_FIRST } from '../../src/core/sequence.js';

export type Request = Parameters<Pipeline['batches']>[0];

/** One run of a pipeline; the counters are those of its end. */
export interface Run {
  readonly batches: readonly Batch[];
  /** Of each document that begins, in the order of the stream, batch by batch and row by row. */
  readonly places: readonly Place[];
  readonly stats: Pipeline['stats'];
  readonly sources: Pipeline['info']['sources'];
  readonly bytes: number;
}

export interface Place {
  readonly source: number;
  readonly shard: number;
  readonly row: number;
}

/** From a new pipeline, which is closed again. */
export async function runPipeline(input: string | ConfigInput, request?: Request, options?: PipelineOptions): Promise<Run> {
  const pipeline = await openPipeline(input, options);
  const batches = await takeAndClose(pipeline, request);
  const { stats, info, storeCounters } = pipeline;
  return { batches, places: placesOf(batches), stats, sources: info.sources, bytes: storeCounters.bytes };
}

/** All batches of one rank, after which the pipeline is closed. */
export async function takeAndClose(pipeline: Pipeline, request?: Request): Promise<Batch[]> {
  try {
    return await take(pipeline.batches(request));
  } finally {
    await pipeline.close();
  }
}

/** The batches of each rank of a new pipeline. */
export async function runRanks(input: string | ConfigInput, worldSize: number, request?: Request): Promise<Batch[][]> {
  const pipeline = await openPipeline(input);
  try {
    return await Promise.all(Array.from({ length: worldSize }, (_, rank) => take(pipeline.batches({ ...request, rank, worldSize }))));
  } finally {
    await pipeline.close();
  }
}

/** Goes on after each `every`-th step from `first` on, with a cursor that was JSON, and expects what followed there: all of it, or `nextMax` batches. */
export async function expectExactResumes(
  input: string | ConfigInput,
  batches: readonly Batch[],
  { first = 0, every = 10, nextMax = Infinity }: { readonly first?: number; readonly every?: number; readonly nextMax?: number } = {},
): Promise<void> {
  const pipeline = await openPipeline(input);
  try {
    for (let step = first; step < batches.length; step += every) {
      const cursor = JSON.parse(JSON.stringify(batches[step].cursor)) as Cursor;
      const next = await take(pipeline.batches({ cursor }), nextMax);
      expect(stepsOf(next), `after step ${step}`).toEqual(stepsOf(batches.slice(step + 1, step + 1 + nextMax)));
    }
  } finally {
    await pipeline.close();
  }
}

function stepsOf(batches: readonly Batch[]): string[] {
  return batches.map(({ step, digest }) => `${step}: ${digest}`);
}

/** The first ones of any stream: of a pipeline, or of a client. */
export async function take<Each>(batches: AsyncIterable<Each>, countMax = Infinity): Promise<Each[]> {
  const taken: Each[] = [];
  for await (const batch of batches) {
    taken.push(batch);
    if (taken.length === countMax) break;
  }
  return taken;
}

export function digestsOf(batches: readonly Pick<Batch, 'digest'>[]): string[] {
  return batches.map(({ digest }) => digest);
}

/** Where documents begin. */
export function placesOf(batches: readonly Batch[]): Place[] {
  const places: Place[] = [];
  for (const { segments } of batches) {
    for (let at = 0; at < segments.length; at += SEGMENT_FIELDS) {
      const [source, shard, row, , , flags] = segments.subarray(at, at + SEGMENT_FIELDS);
      if (source >= 0 && (flags & SEGMENT_FIRST) !== 0) places.push({ source, shard, row });
    }
  }
  return places;
}
