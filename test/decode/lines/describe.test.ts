import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { createLineDecoder } from '../../../src/decode/lines/block-reader.js';
import { csvFormat, JSONL } from '../../../src/decode/lines/line-format.js';
import type { ShardDescription } from '../../../src/decode/decoder.js';
import { LIMITS } from '../../../src/config/limits.js';
import { LINE_LIMITS } from '../../../src/decode/lines/limits.js';
import { scanHere } from '../../../src/decode/scan.js';
import { haveOneKind, settledTypes } from '../../../src/decode/seen-types.js';
import { memoryStore } from '../../../src/store/memory.js';

const describeText = async (
  name: string,
  content: string | Uint8Array,
): Promise<ShardDescription & { readonly bytesRead: () => number }> => {
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
  const store = memoryStore('memory://x/', { [name]: bytes });
  let bytesRead = 0;
  const counting = {
    ...store,
    read: ((path, range, options) => {
      bytesRead += range.endByte - range.startByte;
      return store.read(path, range, options);
    }) as typeof store.read,
  };
  const decoder = createLineDecoder(scanHere, name.includes('.csv') ? csvFormat : () => JSONL);
  const described = await decoder.describe!(counting, await store.head(name));
  return { ...described, bytesRead: () => bytesRead };
};
const lines = (...rows: readonly unknown[]): string =>
  rows.map((row) => `${typeof row === 'string' ? row : JSON.stringify(row)}\n`).join('');
const seenIn = ({ columns }: ShardDescription) =>
  columns.map(({ name, type, use, seen }) => [name, type, use, seen?.missing, seen?.nulls, seen?.empty]);

describe('the columns of JSON lines', () => {
  it('are all fields and fields of fields by their paths, with types, and how often they are missing, null and empty', async () => {
    const found = await describeText(
      'a.jsonl',
      lines(
        { text: 'a', n: 1, ids: [1, 2], meta: { lang: 'en', deep: { x: true } }, chat: [{ role: 'user' }], 'a.b': 1 },
        { text: '', n: 0.5, ids: [], meta: null, chat: [], extra: {} },
        { text: 'b', n: null, ids: [3], meta: { lang: 1, deep: { x: false } } },
        { text: null, ids: [], meta: { deep: 2 } },
      ),
    );
    expect(seenIn(found)).toEqual([
      ['text', 'string', 'text', 0, 1, 1],
      ['n', 'float', undefined, 1, 1, 0],
      ['ids', 'list<integer>', 'tokens', 0, 0, 2],
      ['meta', 'object', undefined, 0, 1, 0],
      ['meta.lang', 'integer or string', undefined, 2, 0, 0],
      ['meta.deep', 'integer or object', undefined, 1, 0, 0],
      ['meta.deep.x', 'boolean', undefined, 2, 0, 0],
      ['chat', 'list<object>', undefined, 2, 0, 1],
      ['a.b', 'integer', undefined, 3, 0, 0],
      ['extra', 'object', undefined, 3, 0, 0],
    ]);
    expect(found).toMatchObject({ rows: 4, looked: { rows: 4, bad: 0, isOpen: true, isCut: false } });
  });

  it('says which rows cannot be read, and takes nothing from them', async () => {
    const found = await describeText('a.jsonl', lines({ a: 'x' }, '', '{"a": oops}', '[1]', { a: 'y' }));
    expect(found.looked).toMatchObject({ rows: 4, bad: 2, problem: 'memory://x/a.jsonl (line 3) is not valid JSON at byte 6' });
    expect(found.columns).toMatchObject([{ name: 'a', seen: { rows: 2, missing: 0 } }]);
    expect(await describeText('none.jsonl', '')).toMatchObject({ rows: 0, columns: [], looked: { rows: 0 } });
  });

  it('are those of the first rows, and no more of them than are worth naming', async () => {
    const row = { text: 'x'.repeat(100) };
    const many = await describeText('a.jsonl', lines(...Array.from({ length: 1500 }, () => row), { late: 1 }));
    expect(many).toMatchObject({ rows: 1501, looked: { rows: LINE_LIMITS.describedRowsMax } });
    expect(many.columns.map(({ name }) => name)).toEqual(['text']);
    const keys = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`key${i}`, i]));
    const wide = await describeText('a.jsonl', lines(keys));
    expect(wide.columns.length).toBe(LIMITS.inspectedPathsMax);
    expect(wide.looked?.isCut).toBe(true);
    const deep = JSON.parse('{"a":'.repeat(20) + '1' + '}'.repeat(20)) as object;
    expect(seenIn(await describeText('a.jsonl', lines(deep)))).toEqual([['a.a.a.a.a.a.a.a', 'object', undefined, 0, 0, 0]]);
  });

  it('share the bytes of the shard, which is passed over once for any number of columns', async () => {
    const content = lines(...Array.from({ length: 20_000 }, (_, i) => ({ long: `${'word '.repeat(30)}${i}`, short: String(i) })));
    for (const bytes of [Buffer.from(content), gzipSync(content)]) {
      const name = bytes.length === content.length ? 'a.jsonl' : 'a.jsonl.gz';
      const found = await describeText(name, bytes);
      // once for the index, and its head for the rows
      expect(found.bytesRead()).toBeLessThan(2 * bytes.length + 1);
      const [long, short] = found.columns;
      expect(long.storedBytes + short.storedBytes).toBeGreaterThan(0.99 * bytes.length);
      expect(long.storedBytes / short.storedBytes).toBeGreaterThan(20);
      const read = found.bytesRead();
      expect(found.indexOf!({ column: 'short', kind: 'text' })).toMatchObject({ rows: 20_000, layout: { column: 'short', as: 'text' } });
      expect(found.bytesRead()).toBe(read);
    }
  });

  it('are the names of the header of separated values, whose values are text', async () => {
    const found = await describeText('a.csv', 'id,text,id\n1,"a\nb",\n2,,x\n3\n');
    expect(seenIn(found)).toEqual([
      ['id', 'text', undefined, 0, 0, 0],
      ['text', 'text', 'text', 0, 0, 1],
    ]);
    expect(found.looked).toMatchObject({
      rows: 3,
      bad: 1,
      isOpen: false,
      problem: 'memory://x/a.csv (line 5) has 1 values, and there are 3 columns',
    });
    expect((await describeText('header.csv', 'id,text\n')).columns.map(({ name, type }) => [name, type])).toEqual([
      ['id', 'null'],
      ['text', 'null'],
    ]);
  });
});

describe('types that were seen', () => {
  it('are of one kind where one could be the other', () => {
    expect(settledTypes(['list', 'list<integer>', 'integer', 'float', 'float'])).toEqual(['float', 'list<integer>']);
    expect(haveOneKind(['integer'], ['float'])).toBe(true);
    expect(haveOneKind(['list'], ['list<string>'])).toBe(true);
    expect(haveOneKind(['list<integer>'], ['list<float>'])).toBe(true);
    expect(haveOneKind([], ['string'])).toBe(true);
    expect(haveOneKind(['integer'], ['string'])).toBe(false);
    expect(haveOneKind(['object'], ['list'])).toBe(false);
  });
});
