import { describe, expect, it } from 'vitest';
import type { Shard } from '../../src/core/shard.js';
import { cutBlocks } from '../../src/manifest/blocks.js';
import { passThroughPacker } from '../../src/pack/pass-through.js';
import type { PackPosition } from '../../src/pack/packer.js';
import { SequenceWriter } from '../../src/pack/sequence-writer.js';
import { createSourcePlan } from '../../src/plan/source-plan.js';
import type { PackResult } from '../../src/stream/messages.js';
import { SourceLane } from '../../src/stream/source-lane.js';
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

/** The first lane of a source of one-row shards without an end; a row has one token, or none. */
function laneOf(rows: readonly (0 | 1)[]): SourceLane {
  const shards = rows.map((_, index): Shard => {
    const unit = { startRow: 0, rows: 1, decodedBytes: 1, storedBytes: 1, layout: null };
    const name = `s${index}`;
    return { path: name, uri: `memory://x/${name}`, size: 1, etag: 'e', contentId: 'c', rows: 1, units: [unit], layout: null };
  });
  const options = { lanes: LANES, windowBytes: 64 * 1024 };
  const plan = createSourcePlan(cutBlocks(tableOf(shards), options), {
    ...options,
    name: 'web',
    seed: 1,
    shuffleBlocks: 8,
    epochs: undefined,
  });
  const openWindow = (place: { readonly group: number; readonly window: number }, from: PackPosition) => ({
    next: (sequencesMax: number): Promise<PackResult> => {
      const { slices } = plan.window(place);
      const documents = { count: slices.length, tokens: (document: number) => new Int32Array(rows[slices[document].block.shard]) };
      const provenance = { source: 0, shard: (document: number) => slices[document].block.shard, row: () => 0 };
      const writer = new SequenceWriter({ length: 1, padId: 0, sequencesMax, provenance });
      const end = passThroughPacker.pack(documents, from, writer);
      return Promise.resolve({ chunk: writer.toChunk(), end, documents: documents.count, done: true, work: WORK });
    },
    close: () => undefined,
  });
  const start = { ...plan.firstPlace(0), document: 0, token: 0 };
  return new SourceLane({ plan, length: 1, stepSequences: 1, sequencesWanted: Infinity, openWindow, onWork: () => undefined }, start);
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
