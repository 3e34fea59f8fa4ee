import { connect, mergeCursors, openPipeline, showStep, type Batch, type ConfigInput } from 'headrace';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleDocuments } from '../../examples/corpus/prose.js';
import { digestsOf, expectExactResumes, placesOf, runPipeline, runRanks, take } from '../support/streams.js';
import type { AuditReport } from '../../src/auditing.js';
import { runCommand } from '../support/commands.js';
import { startSidecar } from '../support/sidecar.js';
import { startHttpProxy, type HttpProxy, type ProxiedRequest } from '../support/http-proxy.js';
import { MINIO_BINARY, startMinio, type Minio } from '../support/minio.js';
import { tarOf } from '../support/tar.js';
import { makeWorkspace, smallConfig, type Workspace } from '../support/workspace.js';

const SHARDS = 40;
const DOCUMENTS = 800;
const LANES = 4;
/** Of each format, a shard without a row, and one with a single one. */
const EMPTY = 7;
const SINGLE = 8;

const lines = (texts: readonly string[]): string => texts.map((text, i) => `${JSON.stringify({ id: i, text })}\n`).join('');
const WRITERS: Readonly<Record<string, { readonly ending: string; readonly of: (texts: readonly string[]) => string | Uint8Array }>> = {
  jsonl: { ending: '.jsonl', of: lines },
  gzip: { ending: '.jsonl.gz', of: (texts) => gzipSync(lines(texts)) },
  csv: { ending: '.csv', of: (texts) => `id,text\n${texts.map((text, i) => `${i},"${text.replaceAll('"', '""')}"\n`).join('')}` },
  text: { ending: '.txt', of: (texts) => texts.map((text) => `${text.replaceAll('\n', ' ')}\n`).join('') },
  tgz: {
    ending: '.tar.gz',
    of: (texts) => gzipSync(tarOf(texts.map((text, i) => ({ name: `${i}.txt`, body: text })))),
  },
  tar: { ending: '.tar', of: (texts) => tarOf(texts.map((text, i) => ({ name: `${String(i).padStart(4, '0')}.txt`, body: text }))) },
};

describe('shards that are opened as they are read', () => {
  let workspace: Workspace;
  /** By shard. */
  let texts: string[][];

  const source = (name: string): ConfigInput['sources'][string] => ({
    uri: workspace.path(`${name}/`),
    scan: 'as-read',
    ...(name === 'text' && { format: 'text', lines: true }),
    ...(['tar', 'tgz'].includes(name) && { text: 'txt' }),
  });
  const config = (name: string, changes: Partial<ConfigInput> = {}): ConfigInput =>
    smallConfig(workspace, { sources: { s: source(name) }, batch: { size: 8, lanes: LANES }, ...changes });
  const openedFiles = async (cache: string): Promise<number> => {
    const entries = await readdir(workspace.path(cache, 'manifests', 'shards'), { recursive: true });
    return entries.filter((name) => name.endsWith('.index')).length;
  };

  beforeAll(async () => {
    workspace = await makeWorkspace();
    const documents = sampleDocuments(DOCUMENTS).map(({ text }) => text);
    texts = Array.from({ length: SHARDS }, () => []);
    const others = Array.from({ length: SHARDS }, (_, i) => i).filter((i) => i !== EMPTY && i !== SINGLE);
    for (const [i, text] of documents.entries()) texts[i === 0 ? SINGLE : others[(i * 7) % others.length]].push(text);
    for (const [name, { ending, of }] of Object.entries(WRITERS)) {
      await mkdir(workspace.path(name));
      for (const [i, own] of texts.entries()) await writeFile(workspace.path(name, `${String(i).padStart(2, '0')}${ending}`), of(own));
    }
  });
  afterAll(() => workspace.remove());

  it.each(Object.keys(WRITERS))(
    '%s: each document once an epoch, and exact resumes, in a fresh cache and a warm one, for any ranks',
    async (name) => {
      const { batches: all, places, sources } = await runPipeline(config(name));
      expect(all.length).toBeGreaterThan(40);
      expect(new Set(places.map(({ shard, row }) => `${shard}:${row}`)).size).toBe(places.length);
      expect(places).toHaveLength(DOCUMENTS);
      expect(sources[0]).toMatchObject({ rows: undefined, blocks: SHARDS, shardCount: SHARDS });
      expect(all[0].cursor.plan).toMatchObject({ 'sources.s.scan': 'as-read' });

      await expectExactResumes(config(name), all, { first: 3, every: 17, nextMax: 3 });
      for (const step of [5, 30]) {
        const fresh = config(name, { cache: { dir: workspace.path(`fresh-${name}-${step}`) } });
        const { batches: rest } = await runPipeline(fresh, { cursor: all[step].cursor });
        expect(digestsOf(rest)).toEqual(digestsOf(all.slice(step + 1)));
      }
      const halves = await runRanks(config(name), 2, { cursor: all[11].cursor, stepsEnd: 15 });
      const merged = mergeCursors(halves.map((half) => half.at(-1)!.cursor));
      const { batches: after } = await runPipeline(config(name), { cursor: merged, stepsEnd: 18 });
      expect(digestsOf(after)).toEqual(digestsOf(all.slice(15, 18)));
    },
  );

  it('passes over the first shards only before the first batch, and over those of a step to show it', async () => {
    const dir = workspace.path('first');
    const pipeline = await openPipeline(config('jsonl', { cache: { dir } }));
    const [first] = await take(pipeline.batches({ stepsEnd: 1 }), 1);
    await pipeline.close();
    expect(first.step).toBe(0);
    // a lane begins with one shard; where that has too few documents, it goes on with the next
    expect(await openedFiles('first')).toBeLessThanOrEqual(2 * LANES);

    const { batches } = await runPipeline(config('jsonl'));
    const step = batches.length - 15;
    const far = config('jsonl', { cache: { dir: workspace.path('far') } });
    const shown = await showStep(far, { step, cursor: batches[step - 1].cursor });
    expect(shown.digest).toBe(batches[step].digest);
    expect(await openedFiles('far')).toBeLessThan(SHARDS / 2);
    // a slot has one lane: one group of four shards at most, and the one after where it ends
    const slot = config('jsonl', { cache: { dir: workspace.path('slot') } });
    await showStep(slot, { step, slot: 1, cursor: batches[step - 1].cursor });
    expect(await openedFiles('slot')).toBeLessThanOrEqual(8);
  });

  it('knows what it has opened at a later start', async () => {
    const cached = config('gzip', { cache: { dir: workspace.path('kept') } });
    const { batches } = await runPipeline(cached);
    expect(await openedFiles('kept')).toBe(SHARDS);
    for (const name of await readdir(workspace.path('gzip'))) {
      // what is saved is of this version of the object: a new one is opened anew
      if (name.startsWith('00')) await writeFile(workspace.path('gzip', name), gzipSync(lines(texts[0])));
    }
    expect(digestsOf((await runPipeline(cached)).batches)).toEqual(digestsOf(batches));
    expect(await openedFiles('kept')).toBe(SHARDS + 1);

    // what is damaged is told, and found again
    const directory = workspace.path('kept', 'manifests', 'shards');
    for (const name of await readdir(directory, { recursive: true })) {
      if (name.endsWith('.index')) await writeFile(`${directory}/${name}`, 'no index');
    }
    const warnings: string[] = [];
    const { batches: again } = await runPipeline(cached, undefined, { warn: (message) => warnings.push(message) });
    expect(digestsOf(again)).toEqual(digestsOf(batches));
    expect(warnings.filter((message) => message.includes('what is saved of a shard is not usable'))).toHaveLength(SHARDS);
  });

  it('goes on where what it opens cannot be saved, and says so once', async () => {
    await mkdir(workspace.path('unsaved', 'manifests'), { recursive: true });
    await writeFile(workspace.path('unsaved', 'manifests', 'shards'), 'no directory');
    const warnings: string[] = [];
    const options = { warn: (message: string) => void warnings.push(message) };
    const { places } = await runPipeline(config('csv', { cache: { dir: workspace.path('unsaved') } }), undefined, options);
    expect(places).toHaveLength(DOCUMENTS);
    expect(warnings.filter((message) => message.includes('cannot save what shards hold'))).toHaveLength(1);
  });

  it('is told apart from the stream that is read ahead, without shards that seem to have changed', async () => {
    const a = await workspace.config('as-read.yaml', config('tar'));
    const b = await workspace.config('ahead.yaml', config('tar', { sources: { s: { ...source('tar'), scan: 'ahead' } } }));
    const { code, out } = await runCommand(['diff', a, b, '--json']);
    expect(code).toBe(1);
    const { entries, shards } = JSON.parse(out) as { entries: { field: string }[]; shards: unknown };
    expect(entries.map(({ field }) => field)).toEqual(['sources.s.scan', 'sources.s.manifest']);
    expect(shards).toEqual([{ source: 's', added: [], removed: [], changed: [] }]);
  });

  it('has the order of the listing and the content, whatever the windows and lanes are', async () => {
    const places = async (changes: Partial<ConfigInput>): Promise<string[]> =>
      (await runPipeline(config('jsonl', changes))).places.map(({ shard, row }) => `${shard}:${row}`);
    const inOrder = await places({ shuffle: false, batch: { size: 1, lanes: 1 } });
    expect(inOrder).toEqual(texts.flatMap((own, shard) => own.map((_, row) => `${shard}:${row}`)));
    const small = await places({ shuffle: { blocks: 2, windowBytes: '64KiB' }, batch: { size: 12, lanes: 12 }, epochs: 2 });
    expect(small).toHaveLength(2 * DOCUMENTS);
    expect(new Set(small).size).toBe(DOCUMENTS);
    const fewerShards = await places({ batch: { size: 64, lanes: 64 } });
    expect(fewerShards.sort()).toEqual(inOrder.sort());
  });

  it('of many units, whole and in parts, gives each row once an epoch, in windows that are resumed exactly', async () => {
    const rows = 9_000;
    // 1 KB a row, so that a shard is two units and more of 4 MiB; longer ones behind
    const ids = (shard: number, row: number): number[] =>
      Array.from({ length: row < 6_000 ? 150 : 300 }, (_, i) => (shard * 31 + row * 7 + i) % 50_000);
    await mkdir(workspace.path('units'));
    for (let shard = 0; shard < 6; shard++) {
      const text = Array.from({ length: rows }, (_, row) => `${JSON.stringify({ ids: ids(shard, row) })}\n`).join('');
      await writeFile(
        workspace.path('units', `${shard}.jsonl${shard % 2 === 0 ? '' : '.gz'}`),
        shard % 2 === 0 ? text : gzipSync(text, { level: 1 }),
      );
    }
    const units = config('units', {
      sources: { s: { uri: workspace.path('units/'), scan: 'as-read', tokens: 'ids' } },
      tokenizer: undefined,
      sequence: { length: 1024 },
      shuffle: { blocks: 2, windowBytes: '6MiB' },
      batch: { size: 64, lanes: 2 },
    });
    const { batches, places } = await runPipeline(units);
    expect(places).toHaveLength(6 * rows);
    expect(new Set(places.map(({ shard, row }) => shard * rows + row)).size).toBe(6 * rows);
    await expectExactResumes(units, batches, { first: 7, every: 31, nextMax: 2 });
  });

  it('through a kill of the sidecar, and with a ledger, is proven whole', async () => {
    const file = await workspace.config(
      'killed.yaml',
      config('jsonl', { ledger: workspace.path('ledger'), cache: { dir: workspace.path('killed') } }),
    );
    const address = `ipc://${workspace.path('killed.sock')}`;
    const reference = digestsOf((await runPipeline(config('jsonl'))).batches);
    let sidecar = await startSidecar(file, { address });
    const digests: string[] = [];
    try {
      expect(sidecar.readyLine).toContain(`${SHARDS} shards · tokenizer`);
      // the trainer waits while the sidecar is gone, and gets the next step of another one
      for await (const batch of connect({ address })) {
        digests.push(batch.digest);
        if (batch.step !== 20) continue;
        await sidecar.end('SIGKILL');
        sidecar = await startSidecar(file, { address });
      }
    } finally {
      await sidecar.end();
    }
    expect(digests).toEqual(reference);
    const { code, out } = await runCommand(['audit', file, '--json', '--seed', '7']);
    const { checks } = JSON.parse(out) as AuditReport;
    expect(checks.filter(({ outcome }) => outcome !== 'passed')).toEqual([]);
    expect(code).toBe(0);
  });

  it('has an index where one is asked for, for a stream that is read ahead', async () => {
    const file = await workspace.config('index.yaml', config('csv'));
    const { code } = await runCommand(['index', file, '--out', workspace.path('indexes')]);
    expect(code).toBe(0);
    const ahead = { ...source('csv'), scan: 'ahead' as const };
    const { batches } = await runPipeline(config('csv', { sources: { s: ahead } }));
    const indexed = config('csv', { sources: { s: { ...ahead, index: workspace.path('indexes', 's.index') } } });
    expect(digestsOf((await runPipeline(indexed, { stepsEnd: 3 })).batches)).toEqual(digestsOf(batches.slice(0, 3)));
  });

  it('fails where a shard is damaged as it is opened, also with `badBlocks: skip`: nobody knows which rows it had', async () => {
    await mkdir(workspace.path('unknown'));
    await writeFile(workspace.path('unknown', '0.jsonl.gz'), gzipSync(lines(texts[0])));
    await writeFile(workspace.path('unknown', '1.jsonl.gz'), gzipSync(lines(texts[1])).subarray(0, -20));
    await expect(runPipeline(config('unknown', { badBlocks: 'skip' }))).rejects.toMatchObject({
      code: 'SHARD_INVALID',
      hint: expect.stringContaining('nobody knows'),
    });
  });

  it('serves validation, and a mixture with a source that is read ahead', async () => {
    const mixed = config('jsonl', {
      sources: { s: source('jsonl'), t: { ...source('csv'), scan: 'ahead' } },
      validation: { share: 0.2 },
    });
    const [train, held] = [await runPipeline(mixed), await runPipeline(mixed, { split: 'validation' })];
    const keys = (run: typeof train): string[] => run.places.map(({ source, shard, row }) => `${source}:${shard}:${row}`);
    expect(keys(held).length).toBeGreaterThan(200);
    expect(keys(train).length + keys(held).length).toBe(2 * DOCUMENTS);
    expect(new Set([...keys(train), ...keys(held)]).size).toBe(2 * DOCUMENTS);
    await expectExactResumes(mixed, train.batches, { first: 10, every: 40, nextMax: 2 });
  });

  it('says when shards were written anew with their sizes, where the cursor shows it', async () => {
    await mkdir(workspace.path('same'));
    const write = (text: string): Promise<void> => writeFile(workspace.path('same', '0.txt'), text);
    await write('aaa bbb ccc\n'.repeat(40_000));
    const same = config('same', { sources: { s: { ...source('same'), format: 'text', lines: true } }, batch: { size: 1, lanes: 1 } });
    const { batches } = await runPipeline(same, { stepsEnd: 1200 });
    const { cursor } = batches.at(-1)!;
    await write(`${'a'.repeat(12 * 40_000 - 1)}\n`);
    await expect(runPipeline(same, { cursor })).rejects.toMatchObject({ code: 'CURSOR_MISMATCH', detail: { field: 'sources.s.manifest' } });
  });

  it('goes on with its own cursors only', async () => {
    const ahead = config('jsonl', { sources: { s: { ...source('jsonl'), scan: 'ahead' } } });
    const [a, b] = [await runPipeline(ahead, { stepsEnd: 2 }), await runPipeline(config('jsonl'), { stepsEnd: 2 })];
    expect(a.batches[0].cursor.plan).not.toHaveProperty('sources.s.scan');
    for (const [own, other] of [
      [ahead, b],
      [config('jsonl'), a],
    ] as const) {
      await expect(runPipeline(own, { cursor: other.batches[1].cursor })).rejects.toMatchObject({
        code: 'CURSOR_MISMATCH',
        detail: { field: 'sources.s.scan' },
      });
    }
  });

  it('names a shard that cannot be opened, changes, is gone, or has no row at all', async () => {
    const bad = async (name: string, of: (dir: string) => Promise<void>): Promise<Promise<unknown>> => {
      await mkdir(workspace.path(name));
      for (const i of [0, 1, 2]) await writeFile(workspace.path(name, `${i}.jsonl.gz`), gzipSync(lines(texts[i])));
      await of(workspace.path(name));
      return runPipeline(config(name));
    };
    await expect(
      bad('damaged', (dir) => writeFile(`${dir}/1.jsonl.gz`, gzipSync(lines(texts[1])).subarray(0, -20))).then((run) => run),
    ).rejects.toMatchObject({ code: 'SHARD_INVALID', message: expect.stringContaining('damaged/1.jsonl.gz') });
    await expect(
      bad('empty', async (dir) => {
        for (const i of [0, 1, 2]) await writeFile(`${dir}/${i}.jsonl.gz`, gzipSync(''));
      }).then((run) => run),
    ).resolves.toMatchObject({ batches: [] });
    await expect(runPipeline({ ...config('empty'), epochs: undefined })).rejects.toMatchObject({
      code: 'NO_ROWS',
      message: expect.stringContaining('groups of a lane have no rows'),
    });

    const pipeline = await openPipeline(config('damaged'));
    try {
      await rm(workspace.path('damaged', '1.jsonl.gz'));
      await expect(take(pipeline.batches())).rejects.toMatchObject({
        code: 'STORE_NOT_FOUND',
        message: expect.stringContaining('it was there when'),
      });
    } finally {
      await pipeline.close();
    }
  });

  it('refuses what needs totals, and formats that say their rows themselves', async () => {
    const refused = (changes: Partial<ConfigInput>): Promise<unknown> =>
      expect(openPipeline(config('jsonl', changes))).rejects.toMatchObject({ code: 'CONFIG_INVALID', detail: { field: 'sources.s.scan' } });
    await refused({ lengths: workspace.path('run.lengths') });
    await refused({ sources: { s: { ...source('jsonl'), index: workspace.path('s.index') } } });
    await mkdir(workspace.path('mds'));
    await writeFile(workspace.path('mds', 'shard.00000.mds'), 'x');
    await refused({ sources: { s: { uri: workspace.path('mds/'), scan: 'as-read' } } });
  });

  it('leaves out rows, partitions and what `where` does not take, and names a row by its id', async () => {
    for (const lang of ['en', 'de']) {
      await mkdir(workspace.path('parts', `lang=${lang}`), { recursive: true });
      for (const i of [0, 1, 2, 3]) await writeFile(workspace.path('parts', `lang=${lang}`, `${i}.jsonl`), lines(texts[i]));
    }
    await writeFile(workspace.path('out.csv'), 'shard,row\nlang=en/0.jsonl,0\nlang=en/1.jsonl,2\n');
    await writeFile(workspace.path('out.txt'), '4\n');
    const own = config('parts', {
      sources: {
        s: {
          ...source('parts'),
          id: 'id',
          where: { lang: 'en', id: { gte: 0 } },
          exclude: [workspace.path('out.csv'), workspace.path('out.txt')],
        },
      },
    });
    const { places, batches } = await runPipeline(own);
    const expected = [0, 1, 2, 3].flatMap((shard) =>
      texts[shard].flatMap((_, row) => (row === 4 || (shard === 0 && row === 0) || (shard === 1 && row === 2) ? [] : [`${shard}:${row}`])),
    );
    expect(places.map(({ shard, row }) => `${shard}:${row}`).sort()).toEqual(expected.sort());
    const shown = await showStep(own, { step: 0 });
    expect(shown.digest).toBe(batches[0].digest);
    expect(shown.slots[0].segments[0].id).toBe(String(shown.slots[0].segments[0].row));
  });

  it('serves fields, whose types the first shard says', async () => {
    await mkdir(workspace.path('fields'));
    const sample = (i: number, size: number) => ({ name: `${i}.npy`, latin1: npy(size) });
    for (const i of [0, 1, 2, 3]) await writeFile(workspace.path('fields', `${i}.tar`), tarOf([0, 1, 2].map((row) => sample(row, 4))));
    const samples = config('fields', {
      sources: { s: { uri: workspace.path('fields/'), scan: 'as-read', fields: { v: { column: 'npy', size: 4 } } } },
      sequence: 'none',
      tokenizer: undefined,
      batch: { size: 2, lanes: 2 },
    });
    const { batches } = await runPipeline(samples);
    expect(batches.reduce((rows, batch) => rows + rowsOf(batch), 0)).toBe(12);
  });
});

describe.skipIf(MINIO_BINARY === undefined)('shards of S3 that are opened as they are read', () => {
  let workspace: Workspace;
  let minio: Minio;
  let proxy: HttpProxy;
  let bytes = 0;
  const shards = 32;

  beforeAll(async () => {
    workspace = await makeWorkspace();
    minio = await startMinio();
    const documents = sampleDocuments(640).map(({ text }) => text);
    for (let shard = 0; shard < shards; shard++) {
      const file = gzipSync(lines(documents.filter((_, i) => i % shards === shard)));
      bytes += file.length;
      await minio.put(`lines/${shard}.jsonl.gz`, file);
    }
    Object.assign(process.env, minio.env);
    proxy = await startHttpProxy(minio.endpoint);
  });
  afterAll(async () => {
    await proxy.stop();
    for (const name of Object.keys(minio.env)) Reflect.deleteProperty(process.env, name);
    await minio.stop();
    await workspace.remove();
  });

  const config = (dir: string): ConfigInput =>
    smallConfig(workspace, {
      sources: { s: { uri: `s3://${minio.bucket}/lines/`, scan: 'as-read' } },
      storage: { s3: { endpoint: proxy.endpoint, forcePathStyle: true } },
      cache: { dir: workspace.path(dir) },
    });
  const objects = (): ProxiedRequest[] => proxy.requests.filter(({ url }) => url.includes('.jsonl.gz'));
  const objectsRead = (): number => new Set(objects().map(({ url }) => new URL(url, proxy.endpoint).pathname)).size;

  it('reads a shard a lane before the first batch, in one request each, and each byte of an epoch once', async () => {
    proxy.requests.length = 0;
    const pipeline = await openPipeline(config('cache'));
    expect(objects()).toEqual([]);
    const [first] = await take(pipeline.batches({ stepsEnd: 1 }), 1);
    await pipeline.close();
    expect(objectsRead()).toBe(LANES);
    expect(objects()).toHaveLength(LANES);

    proxy.requests.length = 0;
    const { batches } = await runPipeline(config('whole'));
    expect(batches[0].digest).toBe(first.digest);
    expect(objectsRead()).toBe(shards);
    expect(objects().reduce((sum, own) => sum + own.bytes, 0)).toBe(bytes);

    proxy.requests.length = 0;
    const { batches: again } = await runPipeline(config('whole'));
    expect(digestsOf(again)).toEqual(digestsOf(batches));
    expect(objects()).toEqual([]);

    // without a cache, or with one that is too small, bytes are read again, and are the same
    for (const cache of [{ ranges: false }, { size: 10_000 }]) {
      const own = config(`little-${JSON.stringify(cache)}`);
      const { batches: uncached } = await runPipeline({ ...own, cache: { ...own.cache, ...cache } }, { stepsEnd: 12 });
      expect(digestsOf(uncached)).toEqual(digestsOf(batches.slice(0, 12)));
    }
  });

  it('reads the shards of the groups under way to go on', async () => {
    const { batches } = await runPipeline(config('whole'));
    const at = Math.floor(batches.length / 2);
    proxy.requests.length = 0;
    const { batches: rest } = await runPipeline(config('elsewhere'), { cursor: batches[at].cursor, stepsEnd: at + 2 });
    expect(digestsOf(rest)).toEqual(digestsOf(batches.slice(at + 1, at + 2)));
    expect(objectsRead()).toBeLessThanOrEqual(LANES * 4);
  });

  it('is warmed as a whole, after which nothing is read of the store', async () => {
    const file = await workspace.config('warm.yaml', config('warm'));
    const { code } = await runCommand(['warm', file, '--json']);
    expect(code).toBe(0);
    proxy.requests.length = 0;
    const { batches } = await runPipeline(config('warm'));
    expect(digestsOf(batches)).toEqual(digestsOf((await runPipeline(config('whole'))).batches));
    expect(objects()).toEqual([]);
  });

  it('a shard that changes in mid-run is the error that it is, by the version that was listed', async () => {
    const pipeline = await openPipeline(config('changed'));
    try {
      const file = gzipSync(lines(['another one']));
      for (let shard = 0; shard < shards; shard++) await minio.put(`lines/${shard}.jsonl.gz`, file);
      await expect(take(pipeline.batches())).rejects.toMatchObject({ code: 'SHARD_CHANGED' });
    } finally {
      await pipeline.close();
    }
  });
});

function rowsOf({ segments }: Batch): number {
  return placesOf([{ segments } as Batch]).length;
}

/** float32 × size, version 1. */
function npy(size: number): string {
  const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${size},), }`.padEnd(117) + '\n';
  const head = Buffer.concat([
    Buffer.from([0x93]),
    Buffer.from('NUMPY'),
    Buffer.from([1, 0, header.length & 255, header.length >> 8]),
    Buffer.from(header),
  ]);
  return Buffer.concat([head, Buffer.from(new Float32Array(size).fill(1).buffer)]).toString('latin1');
}
