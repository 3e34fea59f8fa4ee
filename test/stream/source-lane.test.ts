import { describe, expect, it } from 'vitest';
import { HeadraceError } from '../../src/core/errors.js';
import type { Shard } from '../../src/core/shard.js';
import { cutBlocks } from '../../src/manifest/blocks.js';
import { passThroughPacker } from '../../src/pack/pass-through.js';
import type { PackPosition } from '../../src/pack/packer.js';
import { SequenceWriter } from '../../src/pack/sequence-writer.js';
import { createScannedPlan } from '../../src/plan/scanned-plan.js';
import { createSourcePlan, type KnownPlan, type SourcePlan } from '../../src/plan/source-plan.js';
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
function planOf(rows: number): KnownPlan {
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
  return new SourceLane(
    { plan, length: 1, stepSequences: 1, readyTokens: 2 ** 16, sequencesWanted: Infinity, openWindow, onWork: () => undefined },
    start,
  );
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

/** Shards of three windows, each of one row, that are opened; `failing` is not. Told of what is opened, and of windows that are asked: `open 1`, `ask 0.2`. */
function scannedPlan(shards: number, events: string[], failing?: number): SourcePlan {
  const open = (index: number, group: number): Promise<Shard> => {
    if (!events.includes(`open ${group}`)) events.push(`open ${group}`);
    if (index === failing) return Promise.reject(new HeadraceError('SHARD_INVALID', `shard ${index} is damaged`));
    const units = [{ startRow: 0, rows: 3, decodedBytes: 3 * SLICE_BYTES, storedBytes: 1, layout: null }];
    const name = `s${index}`;
    return Promise.resolve({ path: name, uri: `memory://x/${name}`, size: 1, etag: 'e', contentId: 'c', rows: 3, units, layout: null });
  };
  return createScannedPlan(shards, open, { name: 'web', seed: 1, lanes: 1, shuffleBlocks: 1, windowBytes: SLICE_BYTES, epochs: undefined });
}

const SLICE_BYTES = 1024;

/** Each row is a sequence of one token; a window is so many portions, of which the first has it. */
function laneOverShards(plan: SourcePlan, events: string[], { sequencesWanted = Infinity, portions = 2 } = {}): SourceLane {
  const openWindow: OpenWindow = (place) => {
    let portion = 0;
    return {
      next: async (sequencesMax: number): Promise<PackResult> => {
        if (portion === 0) events.push(`ask ${place.group}.${place.window}`);
        const group = await plan.open(place.group);
        const documents = { count: 1, tokens: () => new Int32Array(1) };
        const provenance = { source: 0, shard: () => group.window(place.window).slices[0].block.shard, row: () => 0 };
        const writer = new SequenceWriter({ length: 1, padId: 0, sequencesMax, provenance });
        const isFirst = portion === 0;
        const done = ++portion === portions;
        const end = isFirst ? passThroughPacker.pack(documents, { document: 0, token: 0 }, writer) : { document: 1, token: 0 };
        return { chunk: writer.toChunk(), end, documents: 1, done, work: WORK };
      },
      close: () => undefined,
    };
  };
  const start = { ...plan.firstPlace(0), document: 0, token: 0 };
  return new SourceLane(
    { plan, length: 1, stepSequences: 1, readyTokens: 2 ** 16, sequencesWanted, openWindow, onWork: () => undefined },
    start,
  );
}

describe('a lane whose shards are opened as they are read', () => {
  it.each([1, 2])(
    'opens the next group while it serves one, and none before the first sequence is taken: windows of %i portions',
    async (portions) => {
      const events: string[] = [];
      const lane = laneOverShards(scannedPlan(100, events), events, { portions });
      lane.start();
      await new Promise((resolve) => setImmediate(resolve));
      expect(events).toEqual(['open 0', 'ask 0.0']);
      for (let i = 0; i < 10; i++) await lane.take();
      lane.close();
      expect(events.indexOf('open 1')).toBeGreaterThan(events.indexOf('ask 0.0'));
      expect(events.indexOf('open 1')).toBeLessThan(events.indexOf('ask 0.2'));
      expect(events.indexOf('open 2')).toBeGreaterThan(events.indexOf('ask 1.0'));
      expect(events.indexOf('open 2')).toBeLessThan(events.indexOf('ask 1.1'));
    },
  );

  it('opens no group that nobody wants', async () => {
    const events: string[] = [];
    const lane = laneOverShards(scannedPlan(100, events), events, { sequencesWanted: 5 });
    for (let i = 0; i < 5; i++) await lane.take();
    await new Promise((resolve) => setImmediate(resolve));
    lane.close();
    expect(events.filter((event) => event.startsWith('open'))).toEqual(['open 0', 'open 1']);
  });

  it('fails with what opening a shard says, when its turn has come', async () => {
    const events: string[] = [];
    const lane = laneOverShards(scannedPlan(5, events, 2), events);
    const shards: number[] = [];
    const all = async (): Promise<void> => {
      for (;;) shards.push((await lane.take())!.sequence.segments[1]);
    };
    await expect(all()).rejects.toMatchObject({ code: 'SHARD_INVALID', message: 'shard 2 is damaged' });
    expect(shards).not.toContain(2);
    lane.close();
  });
});

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
