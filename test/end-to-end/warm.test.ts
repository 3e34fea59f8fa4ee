import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import { openPipeline, type ConfigInput } from 'headrace';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeShards } from '../../examples/corpus/parquet.js';
import { sampleDocuments } from '../../examples/corpus/prose.js';
import { runCommand } from '../support/commands.js';
import { startHttpProxy } from '../support/http-proxy.js';
import { MINIO_BINARY, startMinio, type Minio } from '../support/minio.js';
import { CLI } from '../support/sidecar.js';
import { makeWorkspace, TOKENIZER_FILE, type Workspace } from '../support/workspace.js';

const SHARDS = 8;
const EPOCH = { epochs: 1, last: 'pad' } as const;

interface Need {
  readonly shards: number;
  readonly bytes: number;
  readonly requests: number;
  readonly exact: boolean;
  readonly tokens?: { readonly slices: number };
}

interface Outcome {
  readonly outcome: string;
  readonly bytesFetched: number;
  readonly requests: number;
  readonly bytesFromCache: number;
}

/** What the cache holds of the shards' data, without footers. */
interface Kept {
  readonly ranges: ReadonlySet<string>;
  readonly bytes: number;
}

describe.skipIf(MINIO_BINARY === undefined)('headrace warm', { timeout: 300_000 }, () => {
  let workspace: Workspace;
  let minio: Minio;

  const configOf = (dir: string, more: ConfigInput['cache'] = {}): ConfigInput => ({
    seed: 3,
    sources: { prose: { uri: `s3://${minio.bucket}/prose/` } },
    tokenizer: { file: TOKENIZER_FILE },
    sequence: { length: 128 },
    shuffle: { blocks: 2, windowBytes: '256KiB' },
    batch: { size: 8, lanes: 1 },
    ...EPOCH,
    storage: { s3: { endpoint: minio.endpoint, forcePathStyle: true } },
    cache: { dir: workspace.path(dir), ...more },
    limits: { workers: 1 },
  });
  const write = (dir: string, config: ConfigInput): Promise<string> => workspace.config(`${dir}.yaml`, config);
  const warm = async (file: string, ...args: string[]): Promise<{ code: number | null; err: string; need: Need; outcome: Outcome }> => {
    const { code, out, err } = await runCommand(['warm', file, '--json', ...args]);
    const lines = out.split('\n').filter((line) => line !== '');
    const values = lines.map((line) => JSON.parse(line) as unknown);
    return { code, err, need: values.at(0) as Need, outcome: values.at(-1) as Outcome };
  };
  const kept = async (dir: string): Promise<Kept> => {
    const { out } = await runCommand(['cache', 'ls', '--json', '--dir', workspace.path(dir)]);
    const entries = out.split('\n').filter((line) => line !== '');
    const ranges = entries.map((line) => JSON.parse(line) as { uri: string; startByte: number; endByte: number });
    return {
      ranges: new Set(ranges.map(({ uri, startByte, endByte }) => `${uri} ${startByte} ${endByte}`)),
      bytes: ranges.reduce((sum, { startByte, endByte }) => sum + endByte - startByte, 0),
    };
  };
  /** All that is needed, but for what came with the footers: of shards as small as these, their last pages. */
  const expectFetched = (bytes: number, need: { readonly bytes: number }, footers: { readonly bytes: number }): void => {
    expect(bytes).toBeLessThanOrEqual(need.bytes);
    expect(bytes).toBeGreaterThan(need.bytes - footers.bytes);
  };
  /** What a stream reads of S3, after the pipeline is open: bytes fetched, and ranges that were not in the cache. */
  const stream = async (
    config: ConfigInput,
    steps: number,
  ): Promise<{ readonly bytes: number; readonly misses: number; readonly steps: number }> => {
    const pipeline = await openPipeline(config);
    try {
      const before = { bytes: pipeline.storeCounters.bytes, misses: pipeline.cacheCounters?.misses ?? 0 };
      let taken = 0;
      for await (const { step } of pipeline.batches()) {
        taken = step + 1;
        if (taken === steps) break;
      }
      return {
        bytes: pipeline.storeCounters.bytes - before.bytes,
        misses: (pipeline.cacheCounters?.misses ?? 0) - before.misses,
        steps: taken,
      };
    } finally {
      await pipeline.close();
    }
  };

  beforeAll(async () => {
    workspace = await makeWorkspace();
    // no document that is longer than a window: each row group is one block
    const short = sampleDocuments(10_000).filter(({ text }) => text.length < 20_000);
    const documents = [1, 2].flatMap(() => short); // so many that a lane does not have all of them ready
    const files = await writeShards(workspace.path('data'), documents, SHARDS, 100);
    minio = await startMinio();
    for (const [name, bytes] of files) await minio.put(`prose/${name}`, bytes);
    Object.assign(process.env, minio.env);
  });
  afterAll(async () => {
    for (const name of Object.keys(minio.env)) Reflect.deleteProperty(process.env, name);
    await minio.stop();
    await workspace.remove();
  });

  it('says before what it then fetches, and leaves nothing to fetch for the stream', async () => {
    const config = configOf('whole');
    const file = await write('whole', config);
    const dry = await warm(file, '--dry-run');
    expect(dry).toMatchObject({ code: 0, need: { shards: SHARDS, exact: true } });
    const footers = await kept('whole');
    expect(footers.ranges.size).toBe(SHARDS);

    const { code, need, outcome } = await warm(file);
    expect([code, need, outcome.outcome]).toEqual([0, dry.need, 'done']);
    const all = await kept('whole');
    expectFetched(all.bytes - footers.bytes, need, footers);
    expect(all.ranges.size - footers.ranges.size).toBeLessThanOrEqual(need.requests);

    expect(await stream(config, Infinity)).toMatchObject({ bytes: 0, misses: 0 });
    // what is there is read, and checked, and not fetched
    const again = await warm(file);
    expect(again.outcome).toMatchObject({ outcome: 'done', bytesFetched: 0, bytesFromCache: need.bytes });
  });

  it('fetches what the first steps need, first, and the stream the rest', async () => {
    const config = configOf('steps');
    const file = await write('steps', config);
    const whole = await warm(file, '--dry-run');
    const { code, need } = await warm(file, '--steps', '4');
    expect(code).toBe(0);
    expect(need.bytes).toBeLessThan(whole.need.bytes);
    const slicesOf = async (...args: string[]): Promise<number> => {
      const tokenized = await write('steps-tokens', configOf('steps', { tokens: true }));
      return (await warm(tokenized, '--tokens', '--dry-run', ...args)).need.tokens?.slices ?? 0;
    };
    expect(await slicesOf('--steps', '4')).toBeLessThan(await slicesOf());
    expect(await stream(config, 4)).toMatchObject({ bytes: 0, steps: 4 });
    const { misses } = await stream(config, Infinity);
    expect(misses).toBeGreaterThan(0);
    expect(misses).toBeLessThanOrEqual(whole.need.requests - need.requests);
  });

  it('goes on where a killed one stopped', async () => {
    const config = configOf('killed');
    const file = await write('killed', config);
    const { need } = await warm(file, '--dry-run');
    const footers = await kept('killed');
    const child = spawn(process.execPath, [CLI, 'warm', file, '--json'], { env: process.env, stdio: 'ignore' });
    const exited = once(child, 'exit');
    // from outside, only the directory shows how far it is
    while ((await kept('killed')).ranges.size < footers.ranges.size + 3 && child.exitCode === null);
    child.kill('SIGKILL');
    await exited;
    const before = await kept('killed');
    const { code } = await warm(file);
    expect(code).toBe(0);
    const after = await kept('killed');
    expectFetched(after.bytes - footers.bytes, need, footers);
    for (const range of before.ranges) expect(after.ranges).toContain(range);
    expect(await stream(config, Infinity)).toMatchObject({ bytes: 0 });
  });

  it('ends soon and says so when it is interrupted, and goes on where it stopped', async () => {
    const whole = await warm(await write('uninterrupted', configOf('uninterrupted')));
    // slow enough that requests are under way whenever the signal comes
    const proxy = await startHttpProxy(minio.endpoint, { firstByteMs: 100, totalBytesPerSecond: whole.need.bytes / 10 });
    try {
      const file = await write('interrupted', {
        ...configOf('interrupted'),
        storage: { s3: { endpoint: proxy.endpoint, forcePathStyle: true } },
      });
      const { need } = await warm(file, '--dry-run');
      const asked = proxy.requests.length;
      const child = spawn(process.execPath, [CLI, 'warm', file, '--json'], { env: process.env, stdio: ['ignore', 'pipe', 'pipe'] });
      const exited = once(child, 'exit');
      let [out, err] = ['', ''];
      child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
      child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
      // when ranges have come, and not all of them
      while (proxy.requests.filter(({ bytes }) => bytes > 0).length < asked + 4 && child.exitCode === null) await setImmediate();
      const underWay = performance.now();
      child.kill('SIGINT');
      const [code] = (await exited) as [number | null];
      expect(code, err).toBe(130);
      expect(performance.now() - underWay).toBeLessThan(5_000); // of the ten seconds and more that it would take
      expect(err).not.toContain('error ');
      const outcome = JSON.parse(out.trim().split('\n').at(-1)!) as Outcome;
      expect(outcome.outcome).toBe('interrupted');
      const first = await kept('interrupted');

      // nothing is slow any more, and the cache is the same
      const second = await warm(await write('interrupted', configOf('interrupted')));
      expect([second.code, second.outcome.outcome]).toEqual([0, 'done']);
      const all = await kept('interrupted');
      for (const range of first.ranges) expect(all.ranges).toContain(range);
      // what was under way is fetched again, and nothing else
      expect(outcome.bytesFetched + second.outcome.bytesFetched).toBeLessThanOrEqual(1.5 * need.bytes);
      // joined reads bring what lies between them
      expect(second.outcome.bytesFetched).toBeLessThanOrEqual(1.01 * (all.bytes - first.bytes));
    } finally {
      await proxy.stop();
    }
  });

  it('says what is missing: room, a cache, an epoch; and that files of this machine need none', async () => {
    const small = await warm(await write('small', configOf('small', { size: '1MB' })));
    expect(small.code).toBe(1);
    expect(small.err).toMatch(/error CONFIG_INVALID: the cache is [\d.]+ [KM]iB too small for the [\d.]+ MiB that were asked for/);
    expect((await kept('small')).ranges.size).toBe(SHARDS);
    const off = await warm(await write('off', configOf('off', { ranges: false })));
    expect([off.code, off.err]).toEqual([1, expect.stringContaining('there is no cache to fill')]);
    const late = await warm(await write('late', configOf('late')), '--epoch', '1');
    expect([late.code, late.err]).toEqual([1, expect.stringContaining('there is no epoch 1')]);
    const local = await warm(await write('local', { ...configOf('local'), sources: { prose: { uri: workspace.path('data/') } } }));
    expect(local).toMatchObject({ code: 0, outcome: { outcome: 'nothing to warm' } });
  });
});
