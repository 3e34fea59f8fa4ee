import { parquetWriteBuffer } from 'hyparquet-writer';
import { openPipeline, type ConfigInput, type Pipeline } from 'headrace';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { paragraphs } from '../../examples/corpus/prose.js';
import { createParquetDecoder } from '../../src/decode/parquet/block-reader.js';
import { parquetUnitLayout } from '../../src/decode/parquet/layout.js';
import { memoryStore } from '../../src/store/memory.js';
import { startHttpProxy, type HttpProxy, type ProxiedRequest } from '../support/http-proxy.js';
import { MINIO_BINARY, startMinio, type Minio } from '../support/minio.js';
import { makeWorkspace, TOKENIZER_FILE, type Workspace } from '../support/workspace.js';

const SHARDS = 2;
const ROW_GROUPS = 8;
const LANES = 2;

/** Five columns, of which one is used: text beside what data sets have beside it. */
function fiveColumns(texts: readonly string[], shard: number): Uint8Array {
  const column = (name: string, of: (text: string, row: number) => string): { name: string; data: string[]; type: 'STRING' } => ({
    name,
    data: texts.map(of),
    type: 'STRING',
  });
  return new Uint8Array(
    parquetWriteBuffer({
      columnData: [
        column('id', (_, row) => `${shard}-${row}`),
        column('url', (text, row) => `https://example.org/${row}/${encodeURIComponent(text.slice(0, 40))}`),
        column('text', (text) => text),
        column('lower', (text) => text.toLowerCase()),
        column('title', (text) => text.slice(0, 60)),
      ],
      rowGroupSize: Math.ceil(texts.length / ROW_GROUPS),
    }),
  );
}

/** What the text of a shard takes: its column chunks with the indexes of their pages, and the footer with its trailer. */
async function neededBytes(file: Uint8Array): Promise<{ readonly column: number; readonly footer: number }> {
  const store = memoryStore('memory://shard/', { a: file });
  const decoder = createParquetDecoder(() => Promise.reject(new Error('text needs no count')));
  const { units } = await decoder.index(store, await store.head('a'), { column: 'text', kind: 'text' });
  const footer = new DataView(file.buffer, file.byteOffset).getUint32(file.length - 8, true) + 8;
  const column = units.map(({ layout, storedBytes }) => {
    const { offsetIndex } = parquetUnitLayout(layout);
    return storedBytes + (offsetIndex === undefined ? 0 : offsetIndex.endByte - offsetIndex.startByte);
  });
  return { column: column.reduce((sum, bytes) => sum + bytes), footer };
}

describe.skipIf(MINIO_BINARY === undefined)('what a run asks of S3', () => {
  let workspace: Workspace;
  let minio: Minio;
  let proxy: HttpProxy;
  const sizes = new Map<string, number>();
  const needed = { column: 0, footer: 0 };

  beforeAll(async () => {
    workspace = await makeWorkspace();
    minio = await startMinio();
    const inOrder = paragraphs();
    // 7919 is prime to their number: long texts and short ones are spread over the row groups
    const texts = inOrder.map((_, i) => inOrder[(i * 7919) % inOrder.length]);
    for (let shard = 0; shard < SHARDS; shard++) {
      const file = fiveColumns(
        texts.filter((_, i) => i % SHARDS === shard),
        shard,
      );
      const { column, footer } = await neededBytes(file);
      needed.column += column;
      needed.footer += footer;
      sizes.set(`/${minio.bucket}/five/${shard}.parquet`, file.length);
      await minio.put(`five/${shard}.parquet`, file);
    }
    Object.assign(process.env, minio.env);
  });
  afterAll(async () => {
    for (const name of Object.keys(minio.env)) Reflect.deleteProperty(process.env, name);
    await minio.stop();
    await workspace.remove();
  });
  beforeEach(async () => {
    proxy = await startHttpProxy(minio.endpoint);
  });
  afterEach(() => proxy.stop());

  const open = (dir: string, epochs: number, ranges: boolean, size?: number): Promise<Pipeline> =>
    openPipeline({
      sources: { prose: { uri: `s3://${minio.bucket}/five/` } },
      tokenizer: { file: TOKENIZER_FILE },
      shuffle: { windowBytes: '384KiB' }, // a row group is one block of some windows
      batch: { size: 8, lanes: LANES },
      epochs,
      last: 'pad',
      storage: { s3: { endpoint: proxy.endpoint, forcePathStyle: true } },
      cache: { dir: workspace.path(dir), ranges, ...(size !== undefined && { size }) },
      limits: { workers: 1 },
    } satisfies ConfigInput);
  const run = async (pipeline: Pipeline): Promise<number> => {
    let tokens = 0;
    try {
      for await (const batch of pipeline.batches()) tokens += batch.tokens;
    } finally {
      await pipeline.close();
    }
    return tokens;
  };
  const isListing = ({ url }: ProxiedRequest): boolean => url.includes('list-type=2');
  const isFooter = ({ url, range }: ProxiedRequest): boolean => {
    const size = sizes.get(new URL(url, proxy.endpoint).pathname);
    return size !== undefined && (range?.endsWith(`-${size - 1}`) ?? false);
  };
  const bytesOf = (requests: readonly ProxiedRequest[]): number => requests.reduce((sum, { bytes }) => sum + bytes, 0);

  it('is one listing and one request for each footer before the first batch, and no more than the listing on a second start', async () => {
    const first = await open('manifest', 1, false);
    await first.close();
    expect(proxy.requests.map(({ method }) => method)).toEqual(Array(1 + SHARDS).fill('GET'));
    expect(proxy.requests.filter(isListing)).toHaveLength(1);
    expect(proxy.requests.filter(isFooter)).toHaveLength(SHARDS);

    proxy.requests.length = 0;
    const second = await open('manifest', 1, false);
    expect(proxy.requests.map(isListing)).toEqual([true]);
    await run(second);
    expect(proxy.requests.filter(isFooter)).toEqual([]);
  });

  it('is each byte of the used column once, and with the footers no more than 1.02 of what is needed', async () => {
    expect(await run(await open('economy', 1, true))).toBeGreaterThan(1e6);
    const data = proxy.requests.filter((request) => !isListing(request));
    expect(bytesOf(data.filter((request) => !isFooter(request)))).toBe(needed.column);
    expect(data.filter(isFooter)).toHaveLength(SHARDS);
    expect(bytesOf(data) / (needed.column + needed.footer)).toBeLessThanOrEqual(1.02);
    expect(data.length).toBeLessThanOrEqual(SHARDS * (1 + ROW_GROUPS));
  });

  it('is nothing in a second epoch', async () => {
    const once = await open('one', 1, true);
    const tokens = await run(once);
    const first = bytesOf(proxy.requests);
    const count = proxy.requests.length;
    proxy.requests.length = 0;
    expect(await run(await open('two', 2, true))).toBe(2 * tokens);
    expect(bytesOf(proxy.requests)).toBe(first);
    expect(proxy.requests).toHaveLength(count);
  });

  it('is about half of each later epoch where the cache holds half, since what is needed last makes room', async () => {
    const EPOCHS = 5;
    const pipeline = await open('half', EPOCHS, true, Math.ceil(needed.column * 0.52));
    expect(await run(pipeline)).toBeGreaterThan(EPOCHS * 1e6);
    expect(pipeline.cacheCounters?.evictions).toBeGreaterThan(0);
    const fetched = bytesOf(proxy.requests.filter((request) => !isListing(request) && !isFooter(request)));
    // 0.50 of each; by the order of use alone it is 0.75
    expect(fetched / needed.column - 1).toBeLessThan((EPOCHS - 1) * 0.68);
  });
});
