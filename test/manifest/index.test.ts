import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { LIMITS } from '../../src/config/limits.js';
import { canonicalJson as canonical, fingerprint, type JsonValue } from '../../src/core/canonical-json.js';
import { FORMAT_NAMES, FORMATS, formatOfPath } from '../../src/core/format.js';
import type { Block, Shard, Unit } from '../../src/core/shard.js';
import { cutBlocks } from '../../src/manifest/blocks.js';
import { fingerprintOfList } from '../../src/manifest/list-fingerprint.js';
import { joinLayout, splitLayout } from '../../src/manifest/layouts.js';
import { decodeIndex, encodeIndex, readIndex, saveIndex, type SavedIndex } from '../../src/manifest/saved-index.js';
import { Shards, ShardTable } from '../../src/manifest/shard-table.js';
import { fileStore } from '../../src/store/file.js';
import { allBlocks, tableOf } from '../support/shards.js';

const ROOT = 'memory://x/';

/** Numbers of every width that a column may have. */
const whole = fc.oneof(
  fc.integer({ min: 0, max: 255 }),
  fc.integer({ min: 0, max: 70_000 }),
  fc.integer({ min: 0, max: 2 ** 31 - 1 }),
  fc.maxSafeNat(),
);
const text = fc.string({ unit: 'grapheme', maxLength: 30 });
/** As the decoder's: alike but for their numbers; or anything. */
const layout: fc.Arbitrary<JsonValue> = fc.oneof(
  fc.record({ startByte: whole, endByte: whole, codec: fc.constantFrom('ZSTD', 'SNAPPY'), encodings: fc.constant(['PLAIN', 'RLE 1']) }),
  fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)) as JsonValue), // without −0
);

const unitRows = fc.record({
  rows: fc.integer({ min: 0, max: 60 }),
  decodedBytes: fc.integer({ min: 0, max: 2e6 }),
  storedBytes: whole,
  isWhole: fc.boolean(),
  layout,
});
const shards: fc.Arbitrary<Shard[]> = fc.array(
  fc
    .record({ path: text, place: text, size: whole, etag: text, contentId: text, units: fc.array(unitRows, { maxLength: 6 }), layout })
    .map(({ place, units, ...shard }): Shard => {
      let startRow = 0;
      const placed = units.map((unit): Unit => {
        const from = startRow;
        startRow += unit.rows;
        return { ...unit, startRow: from };
      });
      return { ...shard, uri: ROOT + place, rows: startRow, units: placed };
    }),
  { maxLength: 12 },
);

const indexOf = (of: readonly Shard[]): SavedIndex => ({ request: 'r', table: tableOf(of, ROOT), fingerprint: '0'.repeat(64) });
const encoded = (index: SavedIndex): Uint8Array<ArrayBuffer> => new Uint8Array(Buffer.concat([...encodeIndex(index)]));
const shardsOf = (index: SavedIndex): Shard[] => {
  const table = new Shards(index.table, [ROOT]);
  return Array.from({ length: table.length }, (_, i) => table.at(i));
};

describe('the paths of a table by their endings', () => {
  const endings = [
    ...FORMAT_NAMES.flatMap((name) => FORMATS[name] as readonly string[]),
    '',
    '.',
    '.json',
    'parquet',
    '.x.parquet',
    '.tar.parquet',
  ];
  const name = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 20 }), fc.constantFrom('a', 'a.b', 'é', 'part-0000001-deadbeef.c000'));
  const paths = fc.array(
    fc.tuple(name, fc.constantFrom(...endings)).map((parts) => parts.join('')),
    { maxLength: 20 },
  );

  it('say what the paths of all shards say of formats, in their order', () => {
    fc.assert(
      fc.property(paths, (given) => {
        const layout = {};
        const table = tableOf(
          given.map((path) => ({ path, uri: ROOT, size: 1, etag: '', contentId: '', rows: 0, units: [], layout })),
          ROOT,
        );
        const formatsOf = (of: Iterable<string>): unknown[] =>
          [...of]
            .map((path) => [formatOfPath(path), path] as const)
            .filter(([own], i, all) => all.findIndex(([other]) => other === own) === i);
        expect(formatsOf(table.pathsByEnding())).toEqual(formatsOf(given));
      }),
    );
  });

  it('are few', () => {
    const shard = { uri: ROOT, size: 1, etag: '', contentId: '', rows: 0, units: [], layout: {} };
    const of = Array.from({ length: 1000 }, (_, i) => ({ ...shard, path: `part-${i * 7919}.${i < 500 ? 'parquet' : 'tar'}` }));
    expect([...tableOf(of, ROOT).pathsByEnding()]).toEqual(['part-0.parquet', `part-${500 * 7919}.tar`]);
  });
});

describe('an index', () => {
  it('gives back the shards that it was made of, from memory and from its file', () => {
    fc.assert(
      fc.property(shards, (given) => {
        const index = indexOf(given);
        expect(shardsOf(index)).toEqual(given);
        const read = decodeIndex(encoded(index));
        expect(shardsOf(read)).toEqual(given);
        expect([read.request, read.fingerprint, read.table.rows]).toEqual(['r', index.fingerprint, index.table.rows]);
        // written again, it is the same file
        expect(encoded(read)).toEqual(encoded(index));
      }),
    );
  });

  it('is refused with any bit changed, any byte missing, and any byte more', () => {
    fc.assert(
      fc.property(shards, fc.nat(), fc.nat({ max: 7 }), (given, at, bit) => {
        const file = encoded(indexOf(given));
        const damaged = file.slice();
        damaged[at % file.length] ^= 1 << bit;
        expect(() => decodeIndex(damaged)).toThrow(Error);
        expect(() => decodeIndex(file.slice(0, at % file.length))).toThrow(Error);
        expect(() => decodeIndex(new Uint8Array([...file, at & 255]))).toThrow(Error);
      }),
      { numRuns: 300 },
    );
  });

  it('parses the layouts of the blocks that are opened, and no others, whatever the number of shards', () => {
    const unit = (startRow: number): Unit => ({ startRow, rows: 10, decodedBytes: 100, storedBytes: 50, layout: { startByte: startRow } });
    const given = Array.from({ length: 2000 }, (_, i): Shard => ({
      path: `${i}`,
      uri: `${ROOT}${i}`,
      size: 100,
      etag: 'e',
      contentId: 'c',
      rows: 20,
      units: [unit(0), unit(10)],
      layout: { nested: false },
    }));
    const file = encoded(indexOf(given));
    const parse = vi.spyOn(JSON, 'parse');
    try {
      const index = decodeIndex(file);
      const blocks = cutBlocks(index.table, { lanes: 2, windowBytes: 64 * 1024 });
      const table = new Shards(index.table, [ROOT]);
      const parsed = parse.mock.calls.length; // the header
      expect(parsed).toBe(1);
      const { shard, unit: opened } = blocks.at(3001);
      expect(table.at(shard).units[opened].layout).toEqual({ startByte: 10 });
      expect(table.at(shard).units[opened].layout).toBe(table.at(shard).units[opened].layout);
      expect(parse.mock.calls.length).toBe(parsed + 1);
    } finally {
      parse.mockRestore();
    }
  });

  it('takes a hundred bytes a shard and twenty a unit beside its names', () => {
    const units = 8;
    const given = Array.from({ length: 500 }, (_, i): Shard => ({
      path: '',
      uri: ROOT,
      size: 5e8 + i,
      etag: '',
      contentId: '',
      rows: 5000 * units,
      units: Array.from({ length: units }, (__, u): Unit => {
        const startByte = 4 + u * 6e7 + ((i * 7919) % 1e6);
        const numbers = { startByte, endByte: startByte + 3e6, dataStartByte: startByte + 20 };
        return {
          startRow: 5000 * u,
          rows: 5000,
          decodedBytes: 2e7,
          storedBytes: 8e6,
          layout: { ...numbers, codec: 'ZSTD', path: ['text'] },
        };
      }),
      layout: { nested: false },
    }));
    const few = encoded(indexOf(given.slice(0, 100))).length;
    expect((encoded(indexOf(given)).length - few) / 400).toBeLessThan(100 + 30 * units);
  });

  it('refuses columns that do not fit each other', () => {
    const index = indexOf([{ path: 'a', uri: `${ROOT}a`, size: 1, etag: 'e', contentId: 'c', rows: 0, units: [], layout: null }]);
    const { columns } = index.table;
    for (const wrong of [
      { size: new Uint8Array(2) },
      { unitEnds: Uint8Array.of(1) },
      { path: { ...columns.path, ends: Uint8Array.of(9) } },
    ]) {
      expect(() => new ShardTable({ ...columns, ...wrong }, index.table.shapes)).toThrow(/columns/);
    }
    expect(() => new Shards(index.table, [])).toThrow(/URI/);
  });
});

describe('an index in a directory', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'headrace-test-'));
  });
  afterAll(() => rm(dir, { recursive: true }));

  it('is written under another name first, and read by what it was asked for', async () => {
    const file = path.join(dir, 'below', 'a.index');
    const index = indexOf([{ path: 'a', uri: `${ROOT}a`, size: 1, etag: 'e', contentId: 'c', rows: 0, units: [], layout: null }]);
    await saveIndex(file, index);
    await saveIndex(file, index);
    expect(await readdir(path.dirname(file))).toEqual(['a.index']);
    expect(shardsOf(await readIndex(fileStore(), file, 'r'))).toHaveLength(1);
    await expect(readIndex(fileStore(), file, 'another')).rejects.toMatchObject({ code: 'INDEX_INVALID' });
    await expect(readIndex(fileStore(), `${file}.none`, 'r')).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' });
  });

  it('leaves nothing behind where it cannot be written', async () => {
    const folder = path.join(dir, 'folder.index');
    const index = indexOf([]);
    await saveIndex(path.join(folder, 'inside'), index); // so that the name is a directory's
    await expect(saveIndex(folder, index)).rejects.toThrow();
    expect((await readdir(dir)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });
});

describe('layouts', () => {
  it('are the same after they were taken apart', () => {
    fc.assert(
      fc.property(layout, (given) => {
        expect(joinLayout(splitLayout(given))).toEqual(given);
      }),
    );
  });

  it.each([
    ['#', 0],
    [{ a: '12', b: '\0', c: '\\"1' }, 0],
    [[1, -1, 1.5, 1e21, 2 ** 51, 2 ** 51 - 1], 2],
  ] as [JsonValue, number][])('of %j keep what is no whole number', (given, numbers) => {
    expect(splitLayout(given).numbers).toHaveLength(numbers);
    expect(joinLayout(splitLayout(given))).toEqual(given);
  });
});

describe('the fingerprint of a list', () => {
  it('is that of the whole value', () => {
    const rows = fc.array(fc.jsonValue().map((value) => value as JsonValue));
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.nat())), rows, (others, list) => {
        const { shards: _, ...rest } = others;
        expect(fingerprintOfList(rest, 'shards', list.map(canonical))).toBe(fingerprint({ ...rest, shards: list }));
      }),
    );
  });

  it('is what it was when the manifest was one text', () => {
    const list = Array.from({ length: 3000 }, (_, i) => ({ path: `part-${i}`, size: i, rows: 2 * i, contentId: 'c'.repeat(64) }));
    expect(fingerprintOfList({ column: 'text', kind: 'text' }, 'shards', list.map(canonical))).toBe(
      fingerprint({ column: 'text', kind: 'text', shards: list }),
    );
  });
});

describe('blocks of a table', () => {
  it('are those that one would write down', () => {
    fc.assert(
      fc.property(shards, fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 2 ** 20 }), (given, lanes, windowBytes) => {
        expect(allBlocks(cutBlocks(tableOf(given, ROOT), { lanes, windowBytes }))).toEqual(writtenDown(given, lanes, windowBytes));
      }),
      { numRuns: 300 },
    );
  });

  it('end where the table ends', () => {
    const blocks = cutBlocks(tableOf([], ROOT), { lanes: 1, windowBytes: 1 });
    expect(blocks.length).toBe(0);
    expect(() => blocks.at(0)).toThrow(RangeError);
  });
});

/** Every block in a list: the rule, without the table. */
function writtenDown(given: readonly Shard[], lanes: number, windowBytes: number): Block[] {
  const units = given.flatMap((shard) => shard.units.filter(({ rows }) => rows > 0)).length;
  return given.flatMap((shard, s) =>
    shard.units.flatMap((unit, u) => {
      const wanted =
        unit.isWhole === true
          ? 1
          : Math.max(Math.ceil((LIMITS.blocksPerLaneMin * lanes) / units), Math.ceil(unit.decodedBytes / (4 * windowBytes)));
      const pieces = Math.min(unit.rows, wanted);
      return Array.from({ length: pieces }, (_, i): Block => {
        const [from, to] = [i, i + 1].map((piece) => Math.floor((piece * unit.rows) / pieces));
        const decodedBytes = Math.ceil((unit.decodedBytes * (to - from)) / unit.rows);
        return { shard: s, unit: u, startRow: unit.startRow + from, endRow: unit.startRow + to, decodedBytes };
      });
    }),
  );
}
