import { describe, expect, it } from 'vitest';
import type { Shard } from '../../src/core/shard.js';
import { cutBlocks } from '../../src/manifest/blocks.js';
import { passThroughPacker } from '../../src/pack/pass-through.js';
import type { PackPosition } from '../../src/pack/packer.js';
import { SequenceWriter } from '../../src/pack/sequence-writer.js';
import { createSourcePlan, type SourcePlan } from '../../src/plan/source-plan.js';
import type { PackResult } from '../../src/stream/messages.js';
import { SourceLane, type SourceLaneOptions } from '../../src/stream/source-lane.js';
import { tableOf } from '../support/shards.js';

const LANES = 8;
const WORK = {
  decodeMs: 0,
  tokenizeMs: 0,
  tokenizedBytes: 0,
  packMs: 0,
  rowsSkipped: 0,
  rowsExcluded: 0,
  rowsFiltered: 0,
  tokensTruncated: 0,
  skipped: [],
};

type OpenWindow = SourceLaneOptions['openWindow'];

/** Of one-row shards, without an end. */
function planOf(rows: number): SourcePlan {
  const shards = Array.from({ length: rows }, (_, index): Shard => {
    const unit = { startRow: 0, rows: 1, decodedBytes: 1, storedBytes: 1, layout: null };
    const name = `s${index}`;
    return { path: name, uri: `memory://x/${name}`, size: 1, etag: 'e', contentId: 'c', rows: 1, units: [unit], layout: null };
  });
  const options = { lanes: LANES, windowBytes: 64 * 1024 };
  return createSourcePlan(cutBlocks(tableOf(shards), options), {
    ...options,
    name: 'web',
    seed: 1,
    shuffleBlocks: 8,
    epochs: undefined,
  });
}

function firstLane(plan: SourcePlan, openWindow: OpenWindow): SourceLane {
  const start = { ...plan.firstPlace(0), document: 0, token: 0 };
  return new SourceLane({ plan, length: 1, stepSequences: 1, sequencesWanted: Infinity, openWindow, onWork: () => undefined }, start);
}

/** The first lane of a source in which a row has one token, or none. */
function laneOf(rows: readonly (0 | 1)[]): SourceLane {
  const plan = planOf(rows.length);
  return firstLane(plan, (place, from) => ({
    next: (sequencesMax: number): Promise<PackResult> => {
      const { slices } = plan.window(place);
      const documents = { count: slices.length, tokens: (document: number) => new Int32Array(rows[slices[document].block.shard]) };
      const provenance = { source: 0, shard: (document: number) => slices[document].block.shard, row: () => 0 };
      const writer = new SequenceWriter({ length: 1, padId: 0, sequencesMax, provenance });
      const end = passThroughPacker.pack(documents, from, writer);
      return Promise.resolve({ chunk: writer.toChunk(), end, documents: documents.count, done: true, work: WORK });
    },
    close: () => undefined,
  }));
}

describe('a lane of a source without an end', () => {
  it('finds the one row with tokens of a source with fewer rows than lanes, however long that takes', async () => {
    const lane = laneOf([0, 0, 1, 0, 0]);
    for (let i = 0; i < 200; i++) expect((await lane.take())?.sequence.segments[1]).toBe(2);
    lane.close();
  });

  it('fails where no row has any', async () => {
    await expect(laneOf([0, 0, 0, 0, 0]).take()).rejects.toMatchObject({ code: 'NO_ROWS', detail: { source: 'web' } });
  });
});

it('asks for no more than its first step before that is taken: other lanes wait for theirs', async () => {
  const asked: number[] = [];
  const documents = { count: 1000, tokens: () => new Int32Array(1) };
  const provenance = { source: 0, shard: () => 0, row: (document: number) => document };
  let at: PackPosition = { document: 0, token: 0 };
  const lane = firstLane(planOf(1), () => ({
    next: (sequencesMax: number): Promise<PackResult> => {
      asked.push(sequencesMax);
      const writer = new SequenceWriter({ length: 1, padId: 0, sequencesMax, provenance });
      at = passThroughPacker.pack(documents, at, writer);
      return Promise.resolve({
        chunk: writer.toChunk(),
        end: at,
        documents: documents.count,
        done: at.document >= documents.count,
        work: WORK,
      });
    },
    close: () => undefined,
  }));
  lane.start();
  await new Promise(setImmediate);
  expect(asked).toEqual([1]);
  await lane.take();
  await new Promise(setImmediate);
  expect(asked.length).toBeGreaterThan(1);
  lane.close();
});
