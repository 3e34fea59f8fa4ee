import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/config/limits.js';
import { scanHere } from '../../src/decode/scan.js';
import { createWebDatasetDecoder } from '../../src/decode/webdataset/block-reader.js';
import { tarStretches } from '../../src/decode/webdataset/layout.js';
import { decodeTarMembers } from '../../src/decode/webdataset/members.js';
import type { EncodedTarSlice } from '../../src/decode/webdataset/encoded-slice.js';
import type { PlainRequest } from '../../src/decode/decoder.js';
import type { Block, Shard } from '../../src/core/shard.js';
import { memoryStore, type MemoryStore } from '../../src/store/memory.js';
import type { ByteRange, Store } from '../../src/store/store.js';
import { decodeSlice, rowsAndIds, sliceOf } from '../support/slices.js';

const PYTHON = process.env.HEADRACE_PYTHON;
const SCRIPT = fileURLToPath(new URL('../support/tar_reference.py', import.meta.url));
const signal = new AbortController().signal;
const decoder = createWebDatasetDecoder(scanHere);

type Value = string | number[] | null;
type Sample = readonly [key: string, members: Readonly<Record<string, string>> & { readonly txt?: string }];

function recording(store: Store): { readonly store: Store; readonly reads: ByteRange[] } {
  const reads: ByteRange[] = [];
  const read: Store['read'] = (file, range, options) => {
    reads.push(range);
    return store.read(file, range, options);
  };
  return { reads, store: { ...store, read } };
}

const bytesOf = (reads: readonly ByteRange[]): number => reads.reduce((sum, { startByte, endByte }) => sum + endByte - startByte, 0);

async function openShard(store: Store, file: string, request: PlainRequest): Promise<Shard> {
  const object = await store.head(file);
  return { path: file, uri: store.uri + file, size: object.size, etag: object.etag, ...(await decoder.index(store, object, request)) };
}

const blockOf = (shard: Shard, unit: number): Block => {
  const { startRow, rows } = shard.units[unit];
  return { shard: 0, unit, startRow, endRow: startRow + rows, decodedBytes: 1 };
};

/** The rows of a shard, in slices of `sliceRows`. */
async function readShard(store: Store, shard: Shard, sliceRows: number): Promise<Value[]> {
  const values: Value[] = [];
  for (const unit of shard.units.keys()) {
    const block = blockOf(shard, unit);
    const reader = decoder.openBlock(store, shard.path, shard, block);
    for (let row = block.startRow; row < block.endRow; row += sliceRows) {
      const rows = decodeSlice(await sliceOf(reader, row, Math.min(block.endRow, row + sliceRows), signal));
      if (rows.kind === 'rejected' || rows.kind === 'records') throw new Error(rows.kind);
      for (let i = 0; i < rows.count; i++) {
        const [start, end] = [rows.bounds[i], rows.bounds[i + 1]];
        if (rows.valid?.[i] === 0) values.push(null);
        else if (rows.kind === 'text') values.push(Buffer.from(rows.bytes.subarray(start, end)).toString('utf8'));
        else values.push(Array.from(rows.ids.subarray(start, end), Number));
      }
    }
  }
  return values;
}

describe.skipIf(PYTHON === undefined)('tars that webdataset and tarfile wrote, as webdataset reads them', { timeout: 120_000 }, () => {
  let dir: string;
  let store: MemoryStore;
  let rows: Record<string, Sample[]>;
  let shapes: Record<string, { readonly starts: readonly number[]; readonly end: number }>;
  const names = ['samples', 'ustar', 'gnu', 'pax', 'big'];

  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'headrace-tar-'));
    ({ rows, shapes } = JSON.parse(execFileSync(PYTHON!, [SCRIPT, 'write', dir], { encoding: 'utf8', maxBuffer: 2 ** 28 })) as {
      rows: typeof rows;
      shapes: typeof shapes;
    });
    store = memoryStore('memory://tars/');
    for (const name of names) store.put(`${name}.tar`, new Uint8Array(await readFile(path.join(dir, `${name}.tar`))));
  }, 120_000);
  afterAll(() => rm(dir, { recursive: true }));

  it.each(names)('%s: has the same samples, with the same keys and texts, in slices of any size', async (name) => {
    const shard = await openShard(store, `${name}.tar`, { column: 'txt', kind: 'text', id: '__key__' });
    expect(shard.rows).toBe(rows[name].length);
    for (const sliceRows of [13, 400]) {
      expect(await readShard(store, shard, sliceRows), `in slices of ${sliceRows}`).toEqual(rows[name].map(([, { txt }]) => txt ?? null));
    }
    const keys: (string | null)[] = [];
    for (const unit of shard.units.keys()) {
      const block = blockOf(shard, unit);
      const reader = decoder.openBlock(store, shard.path, shard, block);
      for (let row = block.startRow; row < block.endRow; row += 20) {
        const end = Math.min(block.endRow, row + 20);
        // both at once, as the loader asks for them
        const { slice, ids } = await rowsAndIds(reader, row, end);
        expect(decodeSlice(slice)).toHaveProperty('count', end - row);
        keys.push(...ids);
      }
    }
    expect(keys).toEqual(rows[name].map(([key]) => key));
  });

  it.each(['ustar', 'gnu', 'pax'])('%s: has members whose names have several dots, in lower case', async (name) => {
    const shard = await openShard(store, `${name}.tar`, { column: 'a.b.json.caption', kind: 'text' });
    const captions = rows[name].map(([, members]) => {
      const json = members['a.b.json'] as string | undefined;
      return json === undefined ? null : (JSON.parse(json) as { caption: string }).caption;
    });
    expect(captions.filter((caption) => caption !== null)).toHaveLength(60);
    expect(await readShard(store, shard, 7)).toEqual(captions);
  });

  it.each([
    ['json', (json: string) => json],
    ['json.caption', (json: string) => (JSON.parse(json) as { caption: string }).caption],
    ['json.meta.lang', () => 'de'],
    ['json.uid', () => null],
    ['json.nothing.there', () => null],
  ] as const)('reads %s as text', async (column, expected) => {
    const shard = await openShard(store, 'samples.tar', { column, kind: 'text' });
    expect(await readShard(store, shard, 100)).toEqual(rows.samples.map(([, { json }]) => expected(json)));
  });

  it('reads token ids from .npy members of every width, and from arrays of JSON', async () => {
    const expected = rows.samples.map(([, members]) => idsOfNpy(members['input_ids.npy']));
    expect(expected.flat().length).toBeGreaterThan(10_000);
    const npy = await openShard(store, 'samples.tar', { column: 'input_ids.npy', kind: 'tokens' });
    expect(await readShard(store, npy, 50)).toEqual(expected);
    const json = await openShard(store, 'samples.tar', { column: 'json.input_ids', kind: 'tokens' });
    expect(await readShard(store, json, 50)).toEqual(
      rows.samples.map(([, members]) => (JSON.parse(members.json) as { input_ids: number[] }).input_ids),
    );
  });

  it('reads past long bodies that nobody wants, in the index and in every slice', async () => {
    const { store: recorder, reads } = recording(store);
    const shard = await openShard(recorder, 'big.tar', { column: 'txt', kind: 'text' });
    expect(bytesOf(reads)).toBeLessThan(0.2 * shard.size);
    reads.length = 0;
    expect(await readShard(recorder, shard, 5)).toEqual(rows.big.map(([, { txt }]) => txt));
    expect(bytesOf(reads)).toBeLessThan(0.1 * shard.size);
    const stored = shard.units.reduce((sum, { storedBytes }) => sum + storedBytes, 0);
    expect(bytesOf(reads)).toBe(stored);
  });

  it('asks for each byte of a unit once, whatever the slices, and estimates that', async () => {
    const { store: recorder, reads } = recording(store);
    const shard = await openShard(recorder, 'samples.tar', { column: 'txt', kind: 'text' });
    for (const unit of shard.units.keys()) {
      const block = blockOf(shard, unit);
      const reader = decoder.openBlock(recorder, shard.path, shard, block);
      const estimate = decoder.estimateBlock(shard, block);
      reads.length = 0;
      let estimated = 0;
      for (let row = block.startRow; row < block.endRow; row += 11) {
        const end = Math.min(block.endRow, row + 11);
        await sliceOf(reader, row, end, signal);
        estimated += estimate(row, end).bytes;
      }
      expect(bytesOf(reads)).toBe(shard.units[unit].storedBytes);
      expect(estimated).toBe(shard.units[unit].storedBytes);
      // a stretch that is at hand already makes each request shorter
      expect(reads.length).toBeLessThanOrEqual(Math.ceil(shard.units[unit].storedBytes / LIMITS.tarStretchBytes / 2));
    }
  });

  it('a block that is a part of its unit fetches its own stretches', async () => {
    const { store: recorder, reads } = recording(store);
    const shard = await openShard(recorder, 'samples.tar', { column: 'txt', kind: 'text' });
    const unit = shard.units[0];
    const stretches = tarStretches(unit.layout);
    expect(stretches.length).toBeGreaterThan(8);
    const { startRow, startByte, endByte } = stretches[4];
    reads.length = 0;
    const block = { ...blockOf(shard, 0), startRow, endRow: stretches[5].startRow };
    await sliceOf(decoder.openBlock(recorder, shard.path, shard, block), block.startRow, block.endRow, signal);
    expect(reads).toEqual([{ startByte, endByte }]);
  });

  it('gives the bytes of any member by row, without copies', async () => {
    const options = { members: ['seg.a.bin'] };
    const shard = await openShard(store, 'samples.tar', { column: 'txt', kind: 'text', options });
    const slice = (await sliceOf(decoder.openBlock(store, shard.path, shard, blockOf(shard, 0)), 10, 20, signal)) as EncodedTarSlice;
    const samples = decodeTarMembers(slice, ['seg.a.bin', 'cls', 'absent']);
    expect(samples.keys).toEqual(rows.samples.slice(10, 20).map(([key]) => key));
    for (let row = 0; row < 10; row++) {
      expect(Buffer.from(samples.members('cls').at(row)!).toString()).toBe(rows.samples[10 + row][1].cls);
      const body = samples.members('seg.a.bin').at(row)!;
      expect(body.length).toBe(samples.members('seg.a.bin').sizeAt(row));
      expect(slice.runs.some(({ bytes }) => bytes.buffer === body.buffer)).toBe(true);
      expect(samples.members('absent').at(row)).toBeUndefined();
    }
  });

  describe('with the index of Megatron-Energon beside them', () => {
    const idxOf = (name: string): Uint8Array => {
      const { starts, end } = shapes[name];
      return new Uint8Array(BigUint64Array.from([...starts, end], BigInt).buffer);
    };
    const withIndex = (name: string, idx: Uint8Array): MemoryStore =>
      memoryStore('memory://indexed/', { [`${name}.tar`]: new Uint8Array(files.get(name)!), [`${name}.tar.idx`]: idx });
    const files = new Map<string, Uint8Array>();

    beforeAll(async () => {
      for (const name of names) files.set(name, new Uint8Array(await readFile(path.join(dir, `${name}.tar`))));
    });

    it.each(names)('%s: reads the same rows, and of the archive no more than a look', async (name) => {
      const { store: recorder, reads } = recording(withIndex(name, idxOf(name)));
      const shard = await openShard(recorder, `${name}.tar`, { column: 'txt', kind: 'text' });
      expect(reads.length).toBeLessThanOrEqual(3);
      expect(shard.rows).toBe(rows[name].length);
      for (const sliceRows of [3, 400]) {
        expect(await readShard(recorder, shard, sliceRows)).toEqual(rows[name].map(([, { txt }]) => txt ?? null));
      }
    });

    it('refuses one that is of another archive, at the start or when samples are read', async () => {
      const good = shapes.samples;
      const index = async (starts: readonly number[], end: number): Promise<Value[]> => {
        const own = withIndex('samples', new Uint8Array(BigUint64Array.from([...starts, end], BigInt).buffer));
        return readShard(own, await openShard(own, 'samples.tar', { column: 'txt', kind: 'text' }), 50);
      };
      const wrong: readonly (readonly [readonly number[], number])[] = [
        [good.starts.map((start) => start + 512), good.end],
        [good.starts.map((start) => start + 1), good.end],
        [[...good.starts].reverse(), good.end],
        [good.starts.toSpliced(10, 1), good.end], // two samples as one
        [good.starts.toSpliced(10, 0, good.starts[10] - 512), good.end],
      ];
      for (const [starts, end] of wrong) await expect(index(starts, end)).rejects.toMatchObject({ code: 'SHARD_INVALID' });
      await expect(
        openShard(withIndex('samples', new Uint8Array(13)), 'samples.tar', { column: 'txt', kind: 'text' }),
      ).rejects.toMatchObject({ code: 'SHARD_INVALID', message: expect.stringContaining('samples.tar.idx') });
    });
  });
});

/** A little-endian array of one dimension. */
function idsOfNpy(hex: string): number[] {
  const bytes = Buffer.from(hex, 'hex');
  const start = 10 + bytes.readUInt16LE(8);
  const type = /'descr': '(<..)'/.exec(bytes.toString('latin1', 10, start))![1];
  const body = Uint8Array.from(bytes.subarray(start)).buffer;
  if (type === '<i8') return Array.from(new BigInt64Array(body), Number);
  return Array.from(type === '<u2' ? new Uint16Array(body) : type === '<u4' ? new Uint32Array(body) : new Int32Array(body));
}
