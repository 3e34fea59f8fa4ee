import { openPipeline, type ConfigInput } from 'headrace';
import { randomInt } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import workerThreads from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeParquet } from '../support/token-rows.js';
import { makeWorkspace, type Workspace } from '../support/workspace.js';

/** FAULTS 29: threads of a real pipeline end, without an error, while they have windows open. */
describe('worker threads', () => {
  const { Worker } = workerThreads;
  const started: InstanceType<typeof Worker>[] = [];
  /** Ends every thread at the message with which a window is packed. */
  let endsAtPack = false;
  let workspace: Workspace;

  const config = (): ConfigInput => ({
    sources: { web: { uri: workspace.path('data/'), tokens: 'ids' } },
    sequence: { length: 16, padId: 0 },
    shuffle: { blocks: 2, windowBytes: '64KiB' },
    batch: { size: 4, lanes: 2 },
    epochs: 3,
    last: 'pad',
    cache: { dir: workspace.path('cache') },
    limits: { workers: 2 },
  });

  beforeAll(async () => {
    workspace = await makeWorkspace();
    const rows = Array.from({ length: 400 }, (_, row) => Array.from({ length: 1 + (row % 37) }, (_token, i) => row + i));
    await writeParquet(workspace.path('data'), rows, 4);
    workerThreads.Worker = class extends Worker {
      constructor(...parameters: ConstructorParameters<typeof Worker>) {
        super(...parameters);
        started.push(this);
      }
      override postMessage(...parameters: Parameters<InstanceType<typeof Worker>['postMessage']>): void {
        super.postMessage(...parameters);
        if (endsAtPack && (parameters[0] as { type: string }).type === 'pack') void this.terminate();
      }
    };
    syncBuiltinESMExports();
  });
  afterAll(async () => {
    workerThreads.Worker = Worker;
    syncBuiltinESMExports();
    await workspace.remove();
  });

  async function digests(onBatch: (step: number) => void = () => undefined): Promise<string[]> {
    const pipeline = await openPipeline(config());
    try {
      const all: string[] = [];
      for await (const { step, digest } of pipeline.batches()) {
        onBatch(step);
        all.push(digest);
      }
      return all;
    } finally {
      await pipeline.close();
    }
  }

  it('that end at random moments are replaced, and the stream is the same', async () => {
    const expected = await digests();
    for (let round = 0; round < 5; round++) {
      started.length = 0;
      const moments = new Set(Array.from({ length: 6 }, () => randomInt(0, expected.length)));
      const stream = await digests((step) => {
        if (moments.has(step)) void started.at(-1 - randomInt(0, 2))?.terminate();
      });
      expect(stream, `ended after the steps ${[...moments].join()}`).toEqual(expected);
      expect(started.length).toBeGreaterThan(2);
    }
  });

  it('that one window ends time and again end the run, and the window is named', async () => {
    endsAtPack = true;
    await expect(digests()).rejects.toMatchObject({
      code: 'WORKER_FAILED',
      message: expect.stringMatching(/source web, group \d+, window 0/),
    });
    endsAtPack = false;
  });
});
