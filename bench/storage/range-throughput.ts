/** Ranges of large objects, so many at once: through the store as the pipeline has it, and by plain requests. */
import { PutBucketPolicyCommand, S3Client } from '@aws-sdk/client-s3';
import { randomFillSync } from 'node:crypto';
import { Agent, get } from 'node:http';
import { decorated } from '../../src/store/open-store.js';
import { s3Store } from '../../src/store/s3.js';
import type { ByteRange, Store } from '../../src/store/store.js';
import { createStoreCounters, type StoreCounters } from '../../src/store/with-counters.js';
import type { ProxyFaults, ProxyOptions } from '../../test/support/http-proxy.js';
import type { Minio } from '../../test/support/minio.js';
import { forkProxy } from './proxy-process.js';
import { MEBIBYTE, type Case, type Context, type Contestant, type Sample, type Section } from './section.js';

/** Together more than may be under way at once, so that no range is asked for while it is on its way already. */
const OBJECTS = 4;
const OBJECT_BYTES = 128 * MEBIBYTE;
/** Between two ranges: further apart than what is read as one. */
const GAP_BYTES = 64 * 1024;

/** A store in the same region: 20 ms to the first byte, 100 MB/s a stream. The link is to be less than a proxy of Node and MinIO reach on the machine. */
const FAR = { firstByteMs: 20, streamBytesPerSecond: 100e6 } satisfies ProxyOptions;
const farOf = ({ linkBytesPerSecond: totalBytesPerSecond }: Context): ProxyOptions => ({ ...FAR, totalBytesPerSecond });
const FAULTS: ProxyFaults = { seed: 1, refused: 0.01, resets: 0.005, stragglers: 0.01, stragglerMs: 2000 };

interface Wanted extends ByteRange {
  readonly path: string;
}
type Read = (wanted: Wanted) => Promise<Uint8Array>;

export const rawThroughput: Section = {
  name: 'raw',
  title: 'Ranges from a MinIO on this machine',
  open: async (context) => {
    const bench = await openRanges(context, context.minio.endpoint);
    const cases = [1, 8, 32].flatMap((atOnce) =>
      [1, 8].map((mebibytes): Case => {
        const bytes = (context.quick ? 128 : 512) * MEBIBYTE;
        const contestants = [bench.store, bench.plain].map((contestant) => contestant(mebibytes * MEBIBYTE, atOnce, bytes));
        return { label: `${mebibytes} MiB, ${atOnce} at once`, unit: 'MB/s', hasRatio: true, contestants };
      }),
    );
    return { cases, close: bench.close };
  },
};

export const farThroughput: Section = {
  name: 'far',
  title: `Ranges from a store far away: ${FAR.firstByteMs} ms to the first byte, ${FAR.streamBytesPerSecond / 1e6} MB/s a stream`,
  open: async (context) => {
    const proxy = await forkProxy(context.minio.endpoint, farOf(context));
    const bench = await openRanges(context, proxy.endpoint);
    const limit: Contestant = { name: 'limit of the link', measure: () => Promise.resolve({ value: context.linkBytesPerSecond / 1e6 }) };
    const bytes = (context.quick ? 512 : 2048) * MEBIBYTE;
    const cases = [8, 32].map((atOnce): Case => ({
      label: `8 MiB, ${atOnce} at once`,
      unit: 'MB/s',
      hasRatio: true,
      contestants: [bench.store(8 * MEBIBYTE, atOnce, bytes), limit, bench.plain(8 * MEBIBYTE, atOnce, bytes)],
    }));
    return { cases, close: () => bench.close().then(proxy.stop) };
  },
};

export const faultyThroughput: Section = {
  name: 'faults',
  title: 'The same with 1 % of 503, 0.5 % of resets in the body, and 1 % that begin 2 s late',
  open: async (context) => {
    const proxies = [
      await forkProxy(context.minio.endpoint, { ...farOf(context), faults: FAULTS }),
      await forkProxy(context.minio.endpoint, farOf(context)),
    ];
    const benches = await Promise.all(proxies.map(({ endpoint }) => openRanges(context, endpoint)));
    // so many requests that each kind of fault comes several times
    const bytes = (context.quick ? 1024 : 4096) * MEBIBYTE;
    const contestants = benches.map((bench, i): Contestant => ({
      ...bench.store(4 * MEBIBYTE, 32, bytes),
      name: i === 0 ? 'with faults' : 'without',
    }));
    const close = async (): Promise<void> => {
      await Promise.all(benches.map((bench) => bench.close()));
      await Promise.all(proxies.map((proxy) => proxy.stop()));
    };
    return { cases: [{ label: '4 MiB, 32 at once', unit: 'MB/s', hasRatio: true, contestants }], close };
  },
};

interface RangeBench {
  store(rangeBytes: number, atOnce: number, bytes: number): Contestant;
  plain(rangeBytes: number, atOnce: number, bytes: number): Contestant;
  close(): Promise<void>;
}

async function openRanges({ minio }: Context, endpoint: string): Promise<RangeBench> {
  await putObjects(minio);
  const { bucket, credentials } = minio;
  const counters = createStoreCounters();
  const store = decorated(s3Store({ bucket, endpoint, forcePathStyle: true, credentials }), counters);
  const { etag } = await store.head('ranges/0');
  return {
    store: (rangeBytes, atOnce, bytes) => ({
      name: 'store',
      measure: () => measureReads(storeReads(store, etag), rangeBytes, atOnce, bytes, counters),
    }),
    plain: (rangeBytes, atOnce, bytes) => ({
      name: 'plain requests (node:http)',
      measure: async () => {
        // of its own, as a server may close connections that lie idle while the others measure: plain requests are not tried again
        const agent = new Agent({ keepAlive: true });
        try {
          return await measureReads(plainReads(`${endpoint}/${bucket}`, agent), rangeBytes, atOnce, bytes);
        } finally {
          agent.destroy();
        }
      },
    }),
    close: () => store.close(),
  };
}

const filled = new WeakMap<Minio, Promise<void>>();

/** Once a server. Plain requests are not signed, so the bucket is public. All objects have the same bytes, and so the same ETag. */
function putObjects(minio: Minio): Promise<void> {
  const filling = filled.get(minio) ?? fill(minio);
  filled.set(minio, filling);
  return filling;
}

async function fill(minio: Minio): Promise<void> {
  const { endpoint, credentials, bucket } = minio;
  const client = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials });
  const statement = { Effect: 'Allow', Principal: '*', Action: ['s3:GetObject'], Resource: [`arn:aws:s3:::${bucket}/*`] };
  await client.send(
    new PutBucketPolicyCommand({ Bucket: bucket, Policy: JSON.stringify({ Version: '2012-10-17', Statement: [statement] }) }),
  );
  client.destroy();
  const object = randomFillSync(new Uint8Array(OBJECT_BYTES));
  for (let i = 0; i < OBJECTS; i++) await minio.put(`ranges/${i}`, object);
}

const storeReads =
  (store: Store, ifMatch: string): Read =>
  ({ path, ...range }) =>
    store.read(path, range, { ifMatch });

const plainReads =
  (bucketUrl: string, agent: Agent): Read =>
  ({ path, startByte, endByte }) =>
    new Promise((resolve, reject) => {
      const headers = { range: `bytes=${startByte}-${endByte - 1}` };
      const request = get(`${bucketUrl}/${path}`, { agent, headers }, (answer) => {
        const bytes = new Uint8Array(endByte - startByte);
        let received = 0;
        answer.on('data', (chunk: Buffer) => {
          bytes.set(chunk, received);
          received += chunk.length;
        });
        answer.on('error', reject).on('end', () => {
          if (received === bytes.length && answer.statusCode === 206) resolve(bytes);
          else reject(new Error(`${path}: status ${answer.statusCode}, ${received} bytes`));
        });
      });
      request.on('error', reject);
    });

async function measureReads(read: Read, rangeBytes: number, atOnce: number, bytes: number, counters?: StoreCounters): Promise<Sample> {
  const ranges = OBJECTS * Math.floor(OBJECT_BYTES / (rangeBytes + GAP_BYTES));
  const count = bytes / rangeBytes;
  const before = { ...counters };
  let next = 0;
  const reader = async (): Promise<void> => {
    for (let i = next++; i < count; i = next++) {
      const place = i % ranges;
      const startByte = Math.floor(place / OBJECTS) * (rangeBytes + GAP_BYTES);
      await read({ path: `ranges/${place % OBJECTS}`, startByte, endByte: startByte + rangeBytes });
    }
  };
  const started = performance.now();
  await Promise.all(Array.from({ length: atOnce }, reader));
  const value = bytes / (performance.now() - started) / 1e3;
  return { value, ...(counters !== undefined && { note: eventsOf(before, counters) }) };
}

/** What the store did beside its requests. */
function eventsOf(before: Partial<StoreCounters>, counters: StoreCounters): string {
  const kinds = ['retries', 'throttled', 'hedges', 'hedgesWon', 'coalesced'] as const;
  const events = kinds.map((kind) => [counters[kind] - (before[kind] ?? 0), kind] as const);
  return events.flatMap(([count, kind]) => (count > 0 ? [`${count} ${kind}`] : [])).join(', ');
}
