import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Block, Shard } from '../../src/core/shard.js';
import { HeadraceError } from '../../src/core/errors.js';
import type { BlockReader, Decoder, FetchedSlice } from '../../src/decode/decoder.js';
import { createParquetDecoder } from '../../src/decode/parquet/block-reader.js';
import { countPageRows } from '../../src/decode/parquet/count-page-rows.js';
import { scanHere } from '../../src/decode/scan.js';
import type { EncodedParquetSlice } from '../../src/decode/parquet/encoded-slice.js';
import { decodeParquetSlice } from '../../src/decode/parquet/decode-slice.js';
import { parquetUnitLayout } from '../../src/decode/parquet/layout.js';
import { pagesOf } from '../../src/decode/parquet/pages.js';
import { memoryStore } from '../../src/store/memory.js';
import { decodeBeside, idsOf, readSlices, sliceOf } from '../support/slices.js';

const PYTHON = process.env.HEADRACE_PYTHON;
const SCRIPT = fileURLToPath(new URL('../support/reference.py', import.meta.url));
const UNIT_ROWS = 2000;
const SLICE_ROWS = 125;
const signal = new AbortController().signal;

const COLUMNS = { text: 'text', few: 'text', ids: 'tokens' } as const;
type Column = keyof typeof COLUMNS;

const newDecoder = (): Decoder => createParquetDecoder(scanHere);

/** FAULTS 7 and 34. */
describe.skipIf(PYTHON === undefined)('pages with checksums, written by pyarrow', { timeout: 300_000 }, () => {
  let dir: string;
  const files = new Map<string, Uint8Array>();

  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'headrace-checksums-'));
    execFileSync(PYTHON!, [SCRIPT, 'checksums', dir]);
    for (const name of ['v1', 'v2', 'index', 'unchecked'])
      files.set(name, new Uint8Array(await readFile(path.join(dir, `${name}.parquet`))));
  }, 120_000);
  afterAll(() => rm(dir, { recursive: true }));

  const open = async (bytes: Uint8Array, column: Column) => {
    const store = memoryStore('memory://m/', { f: bytes });
    const object = await store.head('f');
    const index = await newDecoder().index(store, object, { column, kind: COLUMNS[column] });
    const shard: Shard = { path: 'f', uri: 'memory://m/f', size: object.size, etag: object.etag, ...index };
    return { store, shard };
  };
  type Opened = Awaited<ReturnType<typeof open>>;
  const readerOf = ({ store, shard }: Opened, decoder: Decoder): BlockReader => {
    const block: Block = { shard: 0, unit: 0, startRow: 0, endRow: UNIT_ROWS, decodedBytes: 1 };
    return decoder.openBlock(store, 'f', shard, block);
  };
  /** The rows of a slice, or that it is damaged. */
  const outcomeOf = async (slice: Promise<FetchedSlice>): Promise<string> => {
    try {
      const rows = decodeParquetSlice((await slice) as EncodedParquetSlice);
      const values = rows.kind === 'text' ? rows.bytes : rows.ids;
      return Array.from({ length: rows.count }, (_, i) =>
        rows.valid?.[i] === 0 ? 'null' : String(values.slice(rows.bounds[i], rows.bounds[i + 1])),
      ).join('\n');
    } catch (error) {
      if (!(error instanceof HeadraceError) || error.code !== 'SHARD_INVALID') throw error;
      return 'damaged';
    }
  };
  const starts = Array.from({ length: UNIT_ROWS / SLICE_ROWS }, (_, i) => i * SLICE_ROWS);
  const inTurn = async (opened: Opened): Promise<string[]> => {
    const reader = readerOf(opened, newDecoder());
    const outcomes: string[] = [];
    for (const start of starts) outcomes.push(await outcomeOf(sliceOf(reader, start, start + SLICE_ROWS, signal)));
    return outcomes;
  };

  it.each(['v1', 'v2', 'index'])(
    '%s: a flipped bit of any page, dictionaries too, is named, and takes down what needs it only',
    async (name) => {
      for (const column of Object.keys(COLUMNS) as Column[]) {
        const bytes = files.get(name)!;
        const good = await open(bytes, column);
        const clean = await inTurn(good);
        expect(clean).not.toContain('damaged');
        const { startByte, endByte, codec } = parquetUnitLayout(good.shard.units[0].layout);
        const pages = [...pagesOf(bytes.slice(startByte, endByte), codec)];
        expect(pages.every(({ header }) => header.crc !== undefined)).toBe(true);
        for (const index of [0, 1, Math.floor(pages.length / 2), pages.length - 1]) {
          const { body } = pages[index];
          const flipped = bytes.slice();
          flipped[startByte + body.byteOffset + (body.length >> 1)] ^= 4;
          const outcomes = await inTurn(await open(flipped, column));
          const damaged = outcomes.filter((outcome) => outcome === 'damaged').length;
          expect(damaged, `${column}, page ${index}`).toBeGreaterThan(0);
          // the last page is of plain values, and of few rows
          if (index === pages.length - 1 && column === 'text') expect(damaged).toBeLessThanOrEqual(2);
          for (const [i, outcome] of outcomes.entries()) if (outcome !== 'damaged') expect(outcome).toBe(clean[i]);
        }
      }
    },
  );

  it('the error names the page, and both checksums', async () => {
    const bytes = files.get('v1')!.slice();
    const { startByte } = parquetUnitLayout((await open(bytes, 'text')).shard.units[0].layout);
    const [dictionary] = pagesOf(bytes.slice(startByte, startByte + 2 ** 20 * 3), 'UNCOMPRESSED');
    bytes[startByte + dictionary.body.byteOffset + 100] ^= 1;
    const opened = await open(bytes, 'text');
    const slice = await sliceOf(readerOf(opened, newDecoder()), 0, SLICE_ROWS, signal);
    expect(() => decodeParquetSlice(slice as EncodedParquetSlice)).toThrow(
      expect.objectContaining({
        code: 'SHARD_INVALID',
        message: expect.stringMatching(/^column text of memory:\/\/m\/f is damaged at byte 4: a page has the checksum [0-9a-f]{8} where/),
        detail: { uri: 'memory://m/f', column: 'text', startByte, expected: dictionary.header.crc! >>> 0, found: expect.any(Number) },
      }),
    );
  });

  it('ids are checked like rows', async () => {
    const bytes = files.get('index')!.slice();
    const openWithIds = async () => {
      const store = memoryStore('memory://m/', { f: bytes });
      const object = await store.head('f');
      const index = await newDecoder().index(store, object, { column: 'text', kind: 'text', id: 'few' });
      return { store, shard: { path: 'f', uri: 'memory://m/f', size: object.size, etag: object.etag, ...index } satisfies Shard };
    };
    const opened = await openWithIds();
    const reader = readerOf(opened, newDecoder());
    expect(await idsOf(reader, 0, SLICE_ROWS)).toHaveLength(SLICE_ROWS);
    const { id } = parquetUnitLayout(opened.shard.units[0].layout);
    const [, page] = pagesOf(bytes.slice(id!.startByte, id!.endByte), id!.codec);
    bytes[id!.startByte + page.body.byteOffset + (page.body.length >> 1)] ^= 4;
    const damaged = readerOf(await openWithIds(), newDecoder());
    expect(await outcomeOf(sliceOf(damaged, 0, SLICE_ROWS, signal))).not.toBe('damaged');
    const { beside } = await readSlices(damaged, 0, SLICE_ROWS, { ids: true });
    expect(() => decodeBeside(beside!)).toThrow(
      expect.objectContaining({
        code: 'SHARD_INVALID',
        message: expect.stringMatching(/^column few of memory:\/\/m\/f is damaged at byte/),
      }),
    );
    // what is to be read anew: all that was read of the block
    expect(damaged.ranges).toEqual(expect.arrayContaining([...beside!.ranges]));
  });

  it('pages that hold more rows than the footer says take down the last of them', async () => {
    // as where a page lies once more over another one of fewer rows, and the last page begins behind the last row
    const bytes = files.get('unchecked')!;
    const { store, shard } = await open(bytes, 'ids');
    const { startByte, endByte, codec } = parquetUnitLayout(shard.units[0].layout);
    const lastRows = countPageRows({ codec, bytes: bytes.slice(startByte, endByte) }).rows.at(-1) ?? 0;
    expect(lastRows).toBeGreaterThan(0);
    const rows = UNIT_ROWS - lastRows;
    const claimed: Shard = { ...shard, rows, units: [{ ...shard.units[0], rows }] };
    const reader = readerOf({ store, shard: claimed }, newDecoder());
    expect(await outcomeOf(sliceOf(reader, 0, SLICE_ROWS, signal))).not.toBe('damaged');
    expect(await outcomeOf(sliceOf(reader, rows - 1, rows, signal))).toBe('damaged');
  });

  it('which slices a damage takes down depends on the file alone, and not on what was read before', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('v1', 'v2', 'index', 'unchecked'),
        fc.constantFrom(...(Object.keys(COLUMNS) as Column[])),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        fc.boolean(),
        fc.integer({ min: 1, max: 255 }),
        fc.shuffledSubarray(starts, { minLength: 4, maxLength: 6 }),
        async (name, column, place, inHeader, flip, some) => {
          const bytes = files.get(name)!.slice();
          const { startByte, endByte, codec } = parquetUnitLayout((await open(bytes, column)).shard.units[0].layout);
          const pages = [...pagesOf(bytes.slice(startByte, endByte), codec)];
          const page = pages[Math.floor(place * pages.length)];
          const byte = inHeader ? page.offset + (flip % 20) : Math.floor(place * (endByte - startByte));
          bytes[startByte + byte] ^= flip;
          const opened = await open(bytes, column);
          const expected = await inTurn(opened);
          const shared = newDecoder(); // as the blocks of a row group, which several lanes read
          for (const start of some) {
            const alone = await outcomeOf(sliceOf(readerOf(opened, newDecoder()), start, start + SLICE_ROWS, signal));
            const after = await outcomeOf(sliceOf(readerOf(opened, shared), start, start + SLICE_ROWS, signal));
            const at = start / SLICE_ROWS;
            expect(alone === expected[at], `slice ${at} alone: ${alone.slice(0, 40)}, in turn: ${expected[at].slice(0, 40)}`).toBe(true);
            expect(after === expected[at], `slice ${at} after others`).toBe(true);
          }
        },
      ),
      {
        numRuns: 40,
        // found at random: a header without the part that its type needs, so that its page had no number of rows; one whose numbers have 64 bits
        examples: [
          ['v1', 'text', 0.42857142857142855, true, 251, [1625, 1000, 0, 375]],
          ['v1', 'text', 0, false, 35, [0, 375, 1875, 1375]],
        ],
      },
    );
  });
});
