import { connect, openPipeline, type Batch, type ConfigInput, type Cursor } from 'headrace';
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeShards } from '../../examples/corpus/parquet.js';
import { sampleDocuments } from '../../examples/corpus/prose.js';
import { LIMITS } from '../../src/config/limits.js';
import { freePort } from '../support/server-process.js';
import { startSidecar } from '../support/sidecar.js';
import { digestsOf, take } from '../support/streams.js';
import { makeWorkspace, TOKENIZER_FILE, type Workspace } from '../support/workspace.js';

const CONSUMERS = ['tp0', 'tp1', 'tp2', 'tp3'];

/** Ranks of a model-parallel group, which consume one data-parallel rank's stream. */
describe('several consumers of one rank', { timeout: 180_000 }, () => {
  let workspace: Workspace;
  let file: string;
  let metrics: string;
  let address: string;
  let reference: Batch[];
  /** One epoch, of fewer steps than are kept: however far ahead the sidecar works, it works through each document once. */
  let epochFile: string;
  let epoch: Batch[];

  beforeAll(async () => {
    workspace = await makeWorkspace();
    await writeShards(workspace.path('data'), sampleDocuments(400), 4, 10);
    const port = await freePort();
    const config: ConfigInput = {
      sources: { prose: { uri: workspace.path('data/') } },
      tokenizer: { file: TOKENIZER_FILE },
      sequence: { length: 64 },
      shuffle: { windowBytes: '64KiB' },
      batch: { size: 8 },
      cache: { dir: workspace.path('cache') },
      serve: { metrics: `127.0.0.1:${port}` },
    };
    metrics = `http://127.0.0.1:${port}/metrics`;
    file = await workspace.config('headrace.yaml', config);
    epochFile = await workspace.config('epoch.yaml', { ...config, sequence: { length: 1024 }, epochs: 1 });
    address = `ipc://${workspace.path('s.sock')}`;
    [reference, epoch] = await Promise.all(
      [file, epochFile].map(async (each) => {
        const pipeline = await openPipeline(each);
        const batches = await take(pipeline.batches(), 2 * LIMITS.stepsRetainedMax);
        await pipeline.close();
        return batches;
      }),
    );
  });
  afterAll(() => workspace.remove());

  /** What a sidecar of its own has done when `consume` is over, and its trainers have left. */
  const workOf = async (config: string, consume: () => Promise<void>): Promise<Record<string, number>> => {
    const sidecar = await startSidecar(config, { address });
    try {
      await consume();
      const text = await (await fetch(metrics)).text();
      return Object.fromEntries(
        ['headrace_tokenized_bytes_total', 'headrace_store_requests_total', 'headrace_store_read_bytes_total'].map((name) => [
          name,
          Number(new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1]),
        ]),
      );
    } finally {
      await sidecar.end('SIGKILL');
    }
  };

  it('get the same bytes, fast or slow, one of them started again, and the work is done once', async () => {
    const steps = epoch.length;
    expect(steps).toBeGreaterThan(30);
    expect(steps).toBeLessThan(LIMITS.stepsRetainedMax);
    const alone = await workOf(epochFile, async () => {
      expect(digestsOf(await take(connect({ address })))).toEqual(digestsOf(epoch));
    });
    const shared = await workOf(epochFile, async () => {
      const all = await Promise.all(
        CONSUMERS.map(async (consumer, index) => {
          if (index === 2) return takeSlowly(connect({ address, consumer, prefetch: 3 }), 10);
          if (index !== 1) return take(connect({ address, consumer, prefetch: index + 1 }));
          // ended and started again, from its last checkpoint
          const before = await take(connect({ address, consumer }), 20);
          const after = connect({ address, consumer, cursor: before[14].cursor });
          return [...before.slice(0, 15), ...(await take(after))];
        }),
      );
      for (const batches of all) expect(batches.map(bytesOf)).toEqual(epoch.map(bytesOf));
    });
    expect(shared).toEqual(alone);
    expect(alone.headrace_tokenized_bytes_total).toBeGreaterThan(100_000);
  });

  it('get the same bytes further behind than the steps that are kept, by work of their own', async () => {
    const steps = reference.length;
    await workOf(file, async () => {
      const behind = connect({ address, consumer: 'tp0', prefetch: 1 });
      const first = await behind.next();
      const ahead = await take(connect({ address, consumer: 'tp1' }), steps);
      const rest = await take(behind, steps - 1);
      expect(digestsOf([first!, ...rest])).toEqual(digestsOf(reference));
      expect(digestsOf(ahead)).toEqual(digestsOf(reference));
    });
  });

  it('may ask for other micro-batches each', async () => {
    await workOf(file, async () => {
      const [twos, fours, wholes] = await Promise.all([
        take(connect({ address, consumer: 'tp0', microBatch: 2 }), 40),
        take(connect({ address, consumer: 'tp1', microBatch: 4 }), 20),
        take(connect({ address, consumer: 'tp2', verify: true }), 10),
      ]);
      const ids = (batches: readonly Batch[]): number[] => batches.flatMap(({ inputIds }) => [...inputIds]);
      expect(ids(twos)).toEqual(ids(wholes));
      expect(ids(fours)).toEqual(ids(wholes));
      expect(digestsOf(wholes)).toEqual(digestsOf(reference.slice(0, 10)));
    });
  });

  it('in micro-batches go on with the next rows, over the wire and in a library', async () => {
    const pipeline = await openPipeline(file);
    const ids = (batches: readonly Batch[]): number[] => batches.flatMap(({ inputIds }) => [...inputIds]);
    try {
      const before = await take(pipeline.microBatches({ microBatch: 2, worldSize: 2 }), 7);
      const cursor = JSON.parse(JSON.stringify(before[6].cursor)) as Cursor;
      expect(cursor.rows).toEqual({ given: 2, of: 4 });
      const whole = ids(await take(pipeline.batches({ worldSize: 2 }), 5));
      const after = await take(pipeline.microBatches({ microBatch: 1, worldSize: 2, cursor }), 6);
      expect([...ids(before), ...ids(after)]).toEqual(whole);
      expect(() => pipeline.openStream({ worldSize: 2, cursor })).toThrow(expect.objectContaining({ code: 'CURSOR_MISMATCH' }));
    } finally {
      await pipeline.close();
    }
  });
});

function bytesOf({ step, digest, inputIds, lossMask, cuSeqlens, segments }: Batch): string {
  const hash = createHash('sha256');
  for (const array of [inputIds, lossMask, cuSeqlens, segments]) hash.update(array);
  return `${step} ${digest} ${hash.digest('hex')}`;
}

/** As a trainer that takes a while for each step. */
async function takeSlowly(batches: AsyncIterable<Batch>, pauseMs: number): Promise<Batch[]> {
  const taken: Batch[] = [];
  for await (const batch of batches) {
    taken.push(batch);
    await delay(pauseMs);
  }
  return taken;
}
