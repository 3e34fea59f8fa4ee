import { connect, openPipeline, type ConfigInput } from 'headrace';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleDocuments } from '../../examples/corpus/prose.js';
import { expectEqual } from '../support/equal.js';
import { stepHashes } from '../support/global-hash.js';
import { MINIO_BINARY, startMinio } from '../support/minio.js';
import { writeShards } from '../../examples/corpus/parquet.js';
import { startSidecar } from '../support/sidecar.js';
import { runRanks, take } from '../support/streams.js';
import { makeWorkspace, smallConfig, type Workspace } from '../support/workspace.js';

/** The stream is a pure function of the plan: not of ranks, workers, caches, stores, or of who serves it. */
describe('the global order', () => {
  let workspace: Workspace;
  let files: Map<string, Uint8Array>;
  let reference: string[];

  const config = (changes: Partial<ConfigInput> = {}): ConfigInput =>
    smallConfig(workspace, { seed: 17, batch: { size: 16, lanes: 4 }, ...changes });

  beforeAll(async () => {
    workspace = await makeWorkspace();
    files = await writeShards(workspace.path('data'), sampleDocuments(300), 8, 15);
    reference = stepHashes(await runRanks(config(), 1));
  });
  afterAll(() => workspace.remove());

  it('has steps, and they differ', () => {
    expect(reference.length).toBeGreaterThan(50);
    expect(new Set(reference).size).toBe(reference.length);
  });

  it.each([2, 4, 8, 16])('is the same for %i ranks', async (worldSize) => {
    expect(stepHashes(await runRanks(config(), worldSize))).toEqual(reference);
  });

  it('is the same with another number of workers', async () => {
    expect(stepHashes(await runRanks(config({ limits: { workers: 2 } }), 2))).toEqual(reference);
    expect(stepHashes(await runRanks(config({ limits: { workers: 3, fetchBytes: '1MiB' } }), 1))).toEqual(reference);
  });

  it('is the same with a cold and with a warm cache directory, and a warm one reads no footer', async () => {
    const cold = await openPipeline(config({ cache: { dir: workspace.path('other-cache') } }));
    const warm = await openPipeline(config({ cache: { dir: workspace.path('other-cache') } }));
    try {
      expect([cold.info.sources[0].shardsRead, warm.info.sources[0].shardsRead]).toEqual([8, 0]);
      expect(stepHashes([await take(cold.batches())])).toEqual(reference);
      expect(stepHashes([await take(warm.batches())])).toEqual(reference);
    } finally {
      await Promise.all([cold.close(), warm.close()]);
    }
  });

  it('is the same from the sidecar, to ranks that start one after the other, byte for byte', async () => {
    const file = await workspace.config('serve.yaml', config());
    const address = `ipc://${workspace.path('order.sock')}`;
    const sidecar = await startSidecar(file, { address });
    try {
      const together = await Promise.all([0, 1].map((rank) => take(connect({ address, rank, worldSize: 2 }))));
      expect(stepHashes(together)).toEqual(reference);
      // rank 1 comes when rank 0 is done: it gets a computation of its own, and the same bytes
      const first = await take(connect({ address, rank: 0, worldSize: 2 }));
      const second = await take(connect({ address, rank: 1, worldSize: 2 }));
      expect(stepHashes([first, second])).toEqual(reference);
      const [inProcess] = await runRanks(config(), 2);
      expectEqual(first, inProcess);
    } finally {
      await sidecar.end();
    }
  });

  it('moves with the seed, and with nothing else that is not in the plan', async () => {
    expect(stepHashes(await runRanks(config({ seed: 18 }), 1))).not.toEqual(reference);
  });

  it.skipIf(MINIO_BINARY === undefined)('is the same from S3', async () => {
    const minio = await startMinio();
    try {
      for (const [name, bytes] of files) await minio.put(`corpus/prose/${name}`, bytes);
      Object.assign(process.env, minio.env);
      const remote = config({
        sources: { prose: { uri: `s3://${minio.bucket}/corpus/prose/` } },
        storage: { s3: { endpoint: minio.endpoint, forcePathStyle: true } },
      });
      expect(stepHashes(await runRanks(remote, 2))).toEqual(reference);
    } finally {
      for (const name of Object.keys(minio.env)) Reflect.deleteProperty(process.env, name);
      await minio.stop();
    }
  });
});
