import fc from 'fast-check';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { describe, expect, it } from 'vitest';
import { createCsvReader } from '../../src/select/csv.js';
import { isExcludedId, rowNumber, type BuiltExclusions } from '../../src/select/excluded.js';
import { readExclusions, type ExclusionRequest } from '../../src/select/read-exclusions.js';
import { memoryStore } from '../../src/store/memory.js';

const SHARDS = [
  { path: 'a.parquet', uri: 's3://b/web/a.parquet', rows: 10 },
  { path: 'sub/b.parquet', uri: 's3://b/web/sub/b.parquet', rows: 5 },
];

async function read(
  files: Readonly<Record<string, string | Uint8Array>>,
  hasIds = true,
  warn?: ExclusionRequest['warn'],
): Promise<BuiltExclusions> {
  const bytes = Object.fromEntries(
    Object.entries(files).map(([name, content]) => [name, typeof content === 'string' ? new TextEncoder().encode(content) : content]),
  );
  const store = memoryStore('memory://lists/', bytes);
  const lists = Object.keys(files).map((path) => ({ store, path, uri: `memory://lists/${path}` }));
  return readExclusions({ name: 'web', lists, hasIds, shards: { length: SHARDS.length, at: (index) => SHARDS[index] }, warn });
}

const has = ({ ids }: BuiltExclusions, id: string): boolean => ids !== undefined && isExcludedId(ids, id);

describe('lists of documents', () => {
  const parquet = (columnData: Parameters<typeof parquetWriteBuffer>[0]['columnData']): Uint8Array =>
    new Uint8Array(parquetWriteBuffer({ columnData }));
  const forms: [string, string | Uint8Array][] = [
    ['a.txt', 'x1\r\n\nü,"2\n9007199254740993'],
    ['a.jsonl', '"x1"\n{"id":"ü,\\"2","why":"spike"}\n\n9007199254740993\n'],
    ['a.csv', '\ufeffwhy,id\r\nspike,x1\r\n"a\r\nb","ü,""2"\r\n,9007199254740993'],
    ['a.tsv', 'id\twhy\nx1\t\n"ü,""2"\tno\n9007199254740993\t\n'],
    ['a.parquet', parquet([{ name: 'id', data: ['x1', 'ü,"2', '9007199254740993'], type: 'STRING' }])],
  ];

  it.each(forms)('%s has the same three ids as every other form, in any order and as often', async (name, content) => {
    const found = await read({ [name]: content });
    expect(found.count).toBe(3);
    expect(['x1', 'ü,"2', '9007199254740993'].every((id) => has(found, id))).toBe(true);
    expect(has(found, 'x2')).toBe(false);
    expect(found.rows).toBeUndefined();
    expect(found.fingerprint).toBe((await read({ 'b.txt': '9007199254740993\nü,"2\nx1\nx1\n' })).fingerprint);
    expect(found.fingerprint).toBe((await read({ [name]: content, 'c.txt': 'x1' })).fingerprint);
  });

  it('warn of integers that are written as decimals, once a list, and of nothing else', async () => {
    const warned: string[] = [];
    const warn: ExclusionRequest['warn'] = (message, { source, uri }) => warned.push(`${source} ${uri}: ${message}`);
    const found = await read({ 'a.csv': 'id\n1200.0\n7.50\n-3.00\n', 'b.txt': '1200\nv1.0\n' }, true, warn);
    expect([has(found, '1200.0'), has(found, '1200')]).toEqual([true, true]);
    expect(warned).toEqual([expect.stringMatching(/^web memory:\/\/lists\/a\.csv: 2 ids .* -3\.00: .* the integer -3$/)]);
  });

  it.each([
    ['a.jsonl', '{"shard":"a.parquet","row":3}\n{"shard":"s3://b/web/sub/b.parquet","row":0}\n'],
    ['a.csv', 'shard,row\na.parquet,3\nsub/b.parquet,0\n'],
    [
      'a.parquet',
      parquet([
        { name: 'shard', data: ['sub/b.parquet', 'a.parquet'], type: 'STRING' },
        { name: 'row', data: [0n, 3n], type: 'INT64' },
      ]),
    ],
  ] as [string, string | Uint8Array][])('%s names rows by the path of the shard, or by its URI', async (name, content) => {
    const { rows, ids } = await read({ [name]: content }, false);
    expect([...(rows ?? [])]).toEqual([rowNumber(0, 3), rowNumber(1, 0)]);
    expect(ids).toBeUndefined();
  });

  it('lists without an entry leave nothing out, and have no fingerprint', async () => {
    expect(await read({ 'a.txt': '', 'b.jsonl': '\n', 'c.csv': 'id\n' })).toEqual({
      ids: undefined,
      rows: undefined,
      count: 0,
      fingerprint: undefined,
    });
  });

  it.each([
    ['a.csv', 'id,why\nx,\ny\n', /a\.csv, line 3: it has 1 fields where the header has 2/],
    ['a.csv', 'id\nx"y\n', /a\.csv, line 2: a quote in a field/],
    ['a.csv', 'id\n"x\ny', /a\.csv, line 2: a quote that does not end/],
    ['a.csv', 'name,row\nx,1\n', /a\.csv, line 1: it names the columns name, row/],
    ['a.jsonl', '"x"\n{"id":\n', /a\.jsonl, line 2: it is not JSON/],
    ['a.jsonl', '{"id":12345678901234567890}', /line 1: .*write it as text/],
    ['a.jsonl', '{"shard":"a.parquet"}', /line 1: it has neither an id, nor a shard and a row/],
    ['a.jsonl', '{"shard":"a.parquet","row":1.5}', /line 1: its row is not a number/],
    ['a.jsonl', '{"shard":"a.parquet","row":10}', /line 1: there is no row 10 in a\.parquet, which has 10 rows/],
    ['a.jsonl', '"x"\n\n{"shard":"c.parquet","row":0}', /line 3: sources\.web has no shard c\.parquet/],
    ['a.xml', '<id/>', /no ending that says/],
    ['a.parquet', parquet([{ name: 'name', data: ['x'], type: 'STRING' }]), /it names the columns name/],
    ['a.parquet', 'no parquet at all', /not a readable Parquet file/],
    ['a.txt', Uint8Array.of(0x61, 0x0a, 0xff, 0x0a), /a\.txt, line 2: it is not valid UTF-8/],
  ] as [string, string | Uint8Array, RegExp][])('a broken %s (%j) is named with its place', async (name, content, message) => {
    await expect(read({ [name]: content })).rejects.toMatchObject({
      code: 'EXCLUSION_INVALID',
      message: expect.stringMatching(message),
    });
  });

  it('an id is no use where no column has them', async () => {
    await expect(read({ 'a.txt': 'x\n' }, false)).rejects.toMatchObject({
      message: expect.stringMatching(/sources\.web\.id says no column/),
    });
  });

  it('what RFC 4180 writes is read back, wherever the parts of the text end', () => {
    const field = fc.string({ unit: fc.constantFrom('a', 'é', ',', '"', '\n', '\r\n', ' '), maxLength: 6 });
    const records = fc.array(fc.array(field, { minLength: 2, maxLength: 4 }), { maxLength: 8 });
    fc.assert(
      fc.property(records, fc.nat({ max: 50 }), fc.constantFrom('\n', '\r\n'), (written, cut, lineEnd) => {
        const quoted = (value: string): string => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
        const text = written.map((fields) => fields.map(quoted).join(',') + lineEnd).join('');
        const found: string[][] = [];
        const reader = createCsvReader(',', (fields) => found.push(fields));
        reader.push(text.slice(0, cut));
        reader.push(text.slice(cut));
        reader.end();
        expect(found).toEqual(written);
      }),
    );
  });
});
