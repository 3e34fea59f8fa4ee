/** What every format shows of whole streams: each document once, in an order that is pinned, the same for other ranks and workers, and exact after a resume. */
import type { Batch, ConfigInput } from 'headrace';
import { createHash } from 'node:crypto';
import { beforeAll, expect, it } from 'vitest';
import { stepHashes } from './global-hash.js';
import { expectExactResumes, runPipeline, runRanks } from './streams.js';

export interface Delivery {
  /** With `packing: pad`, so that a sequence is a document. */
  readonly config: (workers: number) => ConfigInput;
  /** The ids of each document, in any order. What has none is delivered nowhere. */
  readonly expected: () => readonly (readonly number[])[];
  /** SHA-256 of the steps' hashes: whoever moves it moves the streams of users. */
  readonly order: string;
}

/** Tests of one delivery, within a `describe`. */
export function itDeliversEachOnce({ config, expected, order }: Delivery, worldSize: number): void {
  let batches: readonly Batch[];

  beforeAll(async () => {
    ({ batches } = await runPipeline(config(1)));
  });

  it('each document is delivered once, as it was written, in the order that is pinned', () => {
    const filled = expected().filter(({ length }) => length > 0);
    expect(paddedDocuments(batches).sort()).toEqual(filled.map(String).sort());
    expect(
      createHash('sha256')
        .update(stepHashes([batches]).join('\n'))
        .digest('hex'),
    ).toBe(order);
  });

  it('other numbers of ranks and workers give the same steps', async () => {
    expect(stepHashes(await runRanks(config(2), worldSize))).toEqual(stepHashes([batches]));
  });

  it('a resume at every fifth step gives the batches that follow', async () => {
    expect(batches.length).toBeGreaterThan(10);
    await expectExactResumes(config(1), batches, { first: 4, every: 5, nextMax: 10 });
  });
}

/** The ids of each document, joined, where a sequence is one; padding is none. */
export function paddedDocuments(batches: readonly Batch[]): string[] {
  return batches.flatMap(({ inputIds, lossMask, rows, length }) =>
    Array.from({ length: rows }, (_, row) =>
      Array.from(inputIds.subarray(row * length, (row + 1) * length)).filter((_id, i) => lossMask[row * length + i] === 1),
    )
      .filter((ids) => ids.length > 0)
      .map(String),
  );
}
