import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { connect, type ConfigInput } from 'headrace';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeShards } from '../../examples/corpus/parquet.js';
import { sampleDocuments } from '../../examples/corpus/prose.js';
import { runCommand } from '../support/commands.js';
import { startHttpProxy, type HttpProxy } from '../support/http-proxy.js';
import { MINIO_BINARY, startMinio, type Minio } from '../support/minio.js';
import { freePort } from '../support/server-process.js';
import { CLI, startSidecar } from '../support/sidecar.js';
import { digestsOf, runPipeline, take } from '../support/streams.js';
import { makeWorkspace, smallConfig, type Workspace } from '../support/workspace.js';

const SHARDS = 4;

interface Need {
  readonly bytes: number;
  readonly tokens: { readonly slices: number; readonly slicesKept: number; readonly textBytes: number };
}

interface Outcome {
  readonly outcome: string;
  readonly bytesFetched: number;
  readonly slices: number;
  readonly tokens: number;
  readonly slicesMissing?: number;
}

describe.skipIf(MINIO_BINARY === undefined)('headrace warm --tokens', { timeout: 300_000 }, () => {
  let workspace: Workspace;
  let minio: Minio;
  let proxy: HttpProxy;
  /** Of the whole run, without a cache. */
  let digests: readonly string[];

  const configOf = (dir: string, more: Partial<ConfigInput> = {}): ConfigInput =>
    smallConfig(workspace, {
      sources: { prose: { uri: `s3://${minio.bucket}/prose/` } },
      shuffle: { blocks: 2, windowBytes: '64KiB' },
      storage: { s3: { endpoint: proxy.endpoint, forcePathStyle: true } },
      cache: { dir: workspace.path(dir), tokens: true },
      ...more,
    });
  const warm = async (file: string, ...args: string[]): Promise<{ code: number | null; err: string; need: Need; outcome: Outcome }> => {
    const { code, out, err } = await runCommand(['warm', file, '--tokens', '--json', ...args]);
    const values = out.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as unknown]));
    return { code, err, need: values.at(0) as Need, outcome: values.at(-1) as Outcome };
  };
  const warmedOf = async (dir: string, more: Partial<ConfigInput> = {}): ReturnType<typeof warm> =>
    warm(await workspace.config(`${dir}.yaml`, configOf(dir, more)));
  const bodies = (): number => proxy.requests.filter(({ range }) => range !== undefined).length;
  /** The epoch as a sidecar of another process serves it, and what it did for it. */
  const serve = async (dir: string): Promise<{ digests: readonly string[]; bodies: number; metric: (name: string) => number }> => {
    const before = bodies();
    const port = await freePort();
    const file = await workspace.config(`${dir}-serve.yaml`, { ...configOf(dir), serve: { metrics: `127.0.0.1:${port}` } });
    const address = `ipc://${workspace.path(`${dir}.sock`)}`;
    const sidecar = await startSidecar(file, { address });
    try {
      const batches = await take(connect({ address }));
      const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
      const metric = (name: string): number => Number(new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1]);
      return { digests: digestsOf(batches), bodies: bodies() - before, metric };
    } finally {
      await sidecar.end();
    }
  };
  const expectWarm = async (dir: string): Promise<void> => {
    const served = await serve(dir);
    expect(served.digests).toEqual(digests);
    expect(served.bodies).toBe(0);
    expect(served.metric('headrace_tokenized_bytes_total')).toBe(0);
    expect(served.metric('headrace_token_slices_wanted_total')).toBe(0);
    expect(served.metric('headrace_token_slices_kept_total')).toBeGreaterThan(0);
  };

  beforeAll(async () => {
    workspace = await makeWorkspace();
    const files = await writeShards(workspace.path('data'), sampleDocuments(1_500), SHARDS, 50);
    await writeFile(workspace.path('made.mjs'), 'export default (row) => row.text;');
    minio = await startMinio();
    proxy = await startHttpProxy(minio.endpoint);
    for (const [name, bytes] of files) await minio.put(`prose/${name}`, bytes);
    Object.assign(process.env, minio.env);
    digests = digestsOf((await runPipeline({ ...configOf('none'), cache: { dir: workspace.path('none'), size: 0 } })).batches);
  });
  afterAll(async () => {
    for (const name of Object.keys(minio.env)) Reflect.deleteProperty(process.env, name);
    await proxy.stop();
    await minio.stop();
    await workspace.remove();
  });

  it('says before what it then tokenizes, and leaves nothing to tokenize or fetch for a sidecar, whose stream is the same', async () => {
    const file = await workspace.config('whole.yaml', configOf('whole'));
    const dry = await warm(file, '--dry-run');
    expect(dry.need.tokens).toMatchObject({ slicesKept: 0 });
    expect(dry.need.tokens.textBytes).toBeGreaterThan(100_000);
    const { code, need, outcome, err } = await warm(file);
    expect([code, err, need, outcome.outcome]).toEqual([0, '', dry.need, 'done']);
    expect(outcome.slices).toBe(need.tokens.slices);
    // of English, and of this vocabulary
    expect(need.tokens.textBytes / outcome.tokens).toBeGreaterThan(3);
    expect(need.tokens.textBytes / outcome.tokens).toBeLessThan(6);
    await expectWarm('whole');

    const again = await warm(file);
    expect(again.need).toMatchObject({ bytes: 0, tokens: { slices: 0, slicesKept: need.tokens.slices } });
    expect(again.outcome).toMatchObject({ outcome: 'done', slices: 0, tokens: 0 });
  });

  it('needs no bytes in the cache for that, and serves another order and epoch', async () => {
    const { code } = await warmedOf('tokens-alone', { cache: { dir: workspace.path('tokens-alone'), tokens: true, ranges: false } });
    expect(code).toBe(0);
    const before = bodies();
    const cache = { dir: workspace.path('tokens-alone'), tokens: true, ranges: false };
    const { stats } = await runPipeline({ ...configOf('tokens-alone'), cache, seed: 6, epochs: 2, sequence: { length: 64 } });
    expect(stats).toMatchObject({ slicesWanted: 0, tokenizedBytes: 0 });
    // nor does it take any text to measure how long the lanes of a run are
    const file = await workspace.config('measured.yaml', configOf('tokens-alone', { cache }));
    expect(await runCommand(['index', file, '--lengths', '--out', workspace.path('measured')])).toMatchObject({ code: 0 });
    expect(bodies()).toBe(before);
  });

  it('goes on where a killed one stopped', async () => {
    const file = await workspace.config('killed.yaml', configOf('killed'));
    const child = spawn(process.execPath, [CLI, 'warm', file, '--tokens', '--json'], { env: process.env, stdio: 'ignore' });
    const exited = once(child, 'exit');
    const kept = async (): Promise<Need['tokens']> => (await warm(file, '--dry-run')).need.tokens;
    while ((await readdir(workspace.path('killed', 'ranges', 'entries')).catch(() => [])).length < 60 && child.exitCode === null);
    child.kill('SIGKILL');
    await exited;
    const before = await kept();
    expect(before.slicesKept).toBeGreaterThan(0);
    expect(before.slices).toBeGreaterThan(0);
    const { code, outcome } = await warm(file);
    expect([code, outcome.slices]).toEqual([0, before.slices]);
    await expectWarm('killed');
  });

  it('shares the work with another one', async () => {
    const file = await workspace.config('two.yaml', configOf('two'));
    const [one, other] = await Promise.all([runWarm(file), runWarm(file)]);
    expect([one.outcome, other.outcome]).toEqual(['done', 'done']);
    const { need } = await warm(file, '--dry-run');
    expect(need.tokens.slices).toBe(0);
    expect(one.slices + other.slices).toBe(need.tokens.slicesKept);
    await expectWarm('two');
  });

  it('tokenizes local files, says of which sources no tokens are kept, and what is not switched on', async () => {
    const local = { uri: workspace.path('data/') };
    const mixed = await warmedOf('local', {
      sources: { text: { ...local }, made: { ...local, transform: workspace.path('made.mjs') } },
    });
    expect(mixed.err).toContain('no tokens are kept of source made');
    expect([mixed.code, mixed.outcome.outcome, mixed.need.bytes]).toEqual([0, 'done', 0]);
    expect(mixed.outcome.slices).toBeGreaterThan(0);

    const off = await warmedOf('off', { cache: { dir: workspace.path('off') } });
    expect([off.code, off.err]).toEqual([1, expect.stringContaining('CONFIG_INVALID: cache.tokens is false')]);
    const made = await warmedOf('made', { sources: { made: { ...local, transform: workspace.path('made.mjs') } } });
    expect(made).toMatchObject({ code: 0, outcome: { outcome: 'nothing to warm' } });
  });

  it('says when the tokens do not fit, before and after', async () => {
    const { code, err, outcome } = await warmedOf('small', { cache: { dir: workspace.path('small'), tokens: true, size: '300KB' } });
    expect(err).toMatch(/the cache is about [\d.]+ [KM]iB too small for the tokens/);
    expect([code, outcome.outcome]).toEqual([1, 'incomplete']);
    expect(outcome.slicesMissing).toBeGreaterThan(0);
  });

  it('treats bad rows as the run does', async () => {
    const texts = sampleDocuments(100).map(({ text }, row) => (row === 41 ? null : text));
    const column = { name: 'text', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'OPTIONAL' } as const;
    const bytes = parquetWriteBuffer({ schema: [{ name: 'root', num_children: 1 }, column], columnData: [{ name: 'text', data: texts }] });
    await writeFile(workspace.path('bad.parquet'), new Uint8Array(bytes));
    const sources = { bad: { uri: workspace.path('bad.parquet') } };
    const failed = await warmedOf('bad', { sources });
    expect([failed.code, failed.err]).toEqual([1, expect.stringContaining('error BAD_ROW: row 41 of')]);
    const skipped = await warmedOf('bad', { sources, badRows: 'skip' });
    expect([skipped.code, skipped.err]).toEqual([0, expect.stringContaining('left out: row 41 of')]);
    const { stats } = await runPipeline({ ...configOf('bad'), sources, badRows: 'skip' });
    expect(stats).toMatchObject({ slicesWanted: 0, rowsSkipped: 1 });
  });

  it('leaves out damaged blocks as the run does, and misses nothing then', async () => {
    const texts = sampleDocuments(100).map(({ text }) => text);
    const bytes = new Uint8Array(parquetWriteBuffer({ columnData: [{ name: 'text', data: texts, type: 'STRING' }], rowGroupSize: 50 }));
    await writeFile(workspace.path('torn.parquet'), bytes.fill(0xff, 60, 200));
    const sources = { torn: { uri: workspace.path('torn.parquet') } };
    const failed = await warmedOf('torn', { sources });
    expect([failed.code, failed.err]).toEqual([1, expect.stringContaining('error SHARD_INVALID')]);
    const skipped = await warmedOf('torn', { sources, badBlocks: 'skip' });
    expect([skipped.code, skipped.err]).toEqual([0, expect.stringContaining('left out: ')]);
    expect(skipped.outcome).toMatchObject({ outcome: 'done' });
    const { stats } = await runPipeline({ ...configOf('torn'), sources, badBlocks: 'skip' });
    expect(stats.tokenizedBytes).toBe(0);
    expect(stats.slicesKept).toBeGreaterThan(0);
    expect(stats.slicesSkipped).toBeGreaterThan(0);
  });

  /** In a process of its own, as two jobs are. */
  const runWarm = async (file: string): Promise<Outcome> => {
    const child = spawn(process.execPath, [CLI, 'warm', file, '--tokens', '--json'], {
      env: process.env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let out = '';
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    await once(child, 'exit');
    return JSON.parse(out.trim().split('\n').at(-1)!) as Outcome;
  };
});
