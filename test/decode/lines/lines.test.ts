import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
// built: zstd is decompressed in a thread, which is a file of its own
import { formatOfPath } from '../../../dist/src/core/format.js';
import type { Shard } from '../../../dist/src/core/shard.js';
import type { ColumnRequest, Rows } from '../../../dist/src/decode/decoder.js';
import type { EncodedLineSlice } from '../../../dist/src/decode/lines/encoded-slice.js';
import { decodeRecords } from '../../../dist/src/decode/lines/decode-slice.js';
import { TextKernel } from '../../../dist/src/decode/lines/text-kernel.js';
import { openDecoders } from '../../../dist/src/decode/open-decoders.js';
import { scanHere } from '../../../dist/src/decode/scan.js';
import { memoryStore, type MemoryStore } from '../../../dist/src/store/memory.js';
import { decodeSlice, rowsAndIds, sliceOf } from '../../support/slices.js';

const WRITER = fileURLToPath(new URL('../../support/lines.py', import.meta.url));
const { signal } = new AbortController();
const decoders = openDecoders(scanHere);

async function open(name: string, bytes: Uint8Array, request: Partial<ColumnRequest> = {}): Promise<{ store: MemoryStore; shard: Shard }> {
  const store = memoryStore('memory:///', { [name]: bytes });
  const object = await store.head(name);
  const index = await (await decoders.load(formatOfPath(name)!)).index(store, object, { column: 'text', kind: 'text', ...request });
  return { store, shard: { path: name, uri: `memory:///${name}`, size: object.size, etag: object.etag, ...index } };
}

/** All rows in slices of so many, in blocks of so many rows. */
async function* slices(
  { store, shard }: { store: MemoryStore; shard: Shard },
  sliceRows: number,
  blockRows = Infinity,
): AsyncGenerator<{ slice: EncodedLineSlice; ids: EncodedLineSlice | undefined }> {
  const decoder = await decoders.load(formatOfPath(shard.path)!);
  for (const [unit, { startRow, rows, isWhole }] of shard.units.entries()) {
    const step = isWhole === true ? rows : Math.min(rows, blockRows);
    for (let start = startRow; start < startRow + rows; start += step) {
      const end = Math.min(startRow + rows, start + step);
      const block = { shard: 0, unit, startRow: start, endRow: end, decodedBytes: 1 };
      const reader = decoder.openBlock(store, shard.path, shard, block);
      for (let row = start; row < end; row += sliceRows) {
        yield { slice: (await sliceOf(reader, row, Math.min(end, row + sliceRows), signal)) as EncodedLineSlice, ids: undefined };
      }
    }
  }
}

function textsOf(rows: Rows): (string | null)[] {
  if (rows.kind !== 'text') throw new Error('no text');
  return Array.from({ length: rows.count }, (_, i) =>
    rows.valid?.[i] === 0 ? null : Buffer.from(rows.bytes.subarray(rows.bounds[i], rows.bounds[i + 1])).toString('utf8'),
  );
}

async function texts(
  name: string,
  bytes: Uint8Array,
  request: Partial<ColumnRequest> = {},
  sliceRows = 1000,
  blockRows = Infinity,
): Promise<(string | null)[]> {
  const opened = await open(name, bytes, request);
  const all: (string | null)[] = [];
  for await (const { slice } of slices(opened, sliceRows, blockRows)) all.push(...textsOf(decodeSlice(slice) as Rows));
  expect(all).toHaveLength(opened.shard.rows);
  return all;
}

async function problems(name: string, content: string | Uint8Array, request: Partial<ColumnRequest> = {}): Promise<string[]> {
  const opened = await open(name, Buffer.from(content), request);
  const all: string[] = [];
  for await (const { slice } of slices(opened, 1000)) {
    const rows = decodeSlice(slice) as Rows;
    for (const [row, problem] of rows.problems ?? []) all.push(`${row} ${problem}`);
  }
  return all;
}

describe('lines', () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'headrace-lines-'));
    execFileSync(process.env.HEADRACE_PYTHON ?? 'python3', [WRITER, 'write', directory]);
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it('are the rows that Python reads, however they are stored and cut', async () => {
    const names = readdirSync(directory).filter((name) => !name.endsWith('.rows'));
    expect(names).toHaveLength(28);
    for (const name of names) {
      const rows = JSON.parse(readFileSync(path.join(directory, `${name}.rows`), 'utf8')) as unknown[];
      const bytes = readFileSync(path.join(directory, name));
      const request = name.includes('.txt') ? { options: { lines: true } } : {};
      expect(
        (await texts(name, bytes, request, 700)).every((text, i) => text === rows[i]),
        name,
      ).toBe(true);
      if (/large.*\.(gz|zst)$/.test(name) && !name.startsWith('frames')) continue; // they would be decompressed anew for each block
      const cut = await texts(name, bytes, request, rows.length > 5000 ? 1501 : 37, rows.length > 5000 ? 4000 : 101);
      expect(cut.length === rows.length && cut.every((text, i) => text === rows[i]), name).toBe(true);
    }
  }, 120_000);

  it('have units of some MiB; gzip has one, which is read from its start', async () => {
    const shardOf = async (name: string): Promise<Shard> => (await open(name, readFileSync(path.join(directory, name)))).shard;
    const plain = await shardOf('large.jsonl');
    expect(plain.units.length).toBeGreaterThan(1);
    expect(plain.units.every(({ isWhole }) => isWhole === undefined)).toBe(true);
    const gz = await shardOf('large.jsonl.gz');
    expect(gz.units).toMatchObject([{ isWhole: true, rows: 30_000 }]);
    expect(gz.contentId).toBe(plain.contentId);
    const frames = await shardOf('frames-large.jsonl.zst');
    expect(frames.units.length).toBe(plain.units.length);
    expect(frames.contentId).toBe(plain.contentId);
  });

  it('are fetched once, and only as far as a block goes', async () => {
    const { store, shard } = await open('large.jsonl', readFileSync(path.join(directory, 'large.jsonl')));
    const [unit] = shard.units;
    let bytes = 0;
    const counting = {
      ...store,
      read: (...args: Parameters<MemoryStore['read']>) => ((bytes += args[1].endByte - args[1].startByte), store.read(...args)),
    };
    const block = { shard: 0, unit: 0, startRow: 100, endRow: unit.rows >> 1, decodedBytes: 1 };
    const reader = (await decoders.load('jsonl')).openBlock(counting, shard.path, shard, block);
    for (let row = 100; row < block.endRow; row += 300) await sliceOf(reader, row, Math.min(block.endRow, row + 300), signal);
    expect(bytes).toBeLessThan(unit.storedBytes / 2 + 2 ** 19);
  });

  it('of JSON name a field by a path; a name with the dots itself comes first', async () => {
    const lines = [
      '{"a":{"b":"nested"}}',
      '{"a.b":"own","a":{"b":"nested"}}',
      '{"a":{"b":"first"},"a":{"b":"last"}}',
      '{"\\u0061":{"b":"escaped"}}',
      '{"a":1}',
      '{"a":{"b":null}}',
    ];
    expect(await texts('x.jsonl', Buffer.from(lines.join('\n')), { column: 'a.b' })).toEqual([
      'nested',
      'own',
      'last',
      'escaped',
      null,
      null,
    ]);
  });

  it('that are bad are named with their line, and take no others with them', async () => {
    const content =
      '\ufeff{"text":"a"}\n\n{"text":1}\r\n{"text":"x"\n[1]\n{"no":2}\n{"text":{"a":[]}}\n   \n{"text":"z"} x\n{"text":null}\nnull\n{"text":"tab\there"}\n{"text":true}';
    expect(await problems('x.jsonl', content)).toEqual([
      '1 (line 3) has a number in field text, and no text',
      '2 (line 4) is not valid JSON at byte 11',
      '3 (line 5) is not a JSON object',
      '4 (line 6) has no field text',
      '5 (line 7) has an object in field text, and no text',
      '6 (line 9) is not valid JSON at byte 13',
      '7 (line 10) has null in field text',
      '8 (line 11) is not a JSON object',
      '9 (line 12) is not valid JSON at byte 12',
      '10 (line 13) has a boolean in field text, and no text',
    ]);
    expect(await problems('x.csv', 'text,b\n1,2\n\n"a\nb",2\n1,2,3\n"a"b,c\n1\n')).toEqual([
      '2 (line 6) has 3 values, and there are 2 columns',
      '3 (line 7) has something after the quote that ends value 1',
      '4 (line 8) has 1 values, and there are 2 columns',
    ]);
    expect(await problems('x.csv', 'text,b\n1,2\n"a,2\n1,3\n')).toEqual(['1 (line 3) has a quote that does not end']);
  });

  it('of token ids are integers, or bad rows', async () => {
    const lines = [
      '{"t":[1, 2,3]}',
      '{"t":[]}',
      '{"t":[1.5]}',
      '{"t":[-1]}',
      '{"t":[4294967296]}',
      '{"t":["a"]}',
      '{"t":"a"}',
      '{"t":[ 7 ]}',
      '{"t":[1,null]}',
    ];
    const opened = await open('x.jsonl', Buffer.from(lines.join('\n')), { column: 't', kind: 'tokens' });
    for await (const { slice } of slices(opened, 100)) {
      const rows = decodeSlice(slice) as Rows;
      if (rows.kind !== 'tokens') throw new Error('no tokens');
      expect([...rows.ids]).toEqual([1, 2, 3, 7]);
      expect([...rows.bounds]).toEqual([0, 3, 3, 3, 3, 3, 3, 3, 4, 4]);
      expect([...rows.valid!]).toEqual([1, 1, 0, 0, 0, 0, 0, 1, 0]);
      expect(rows.idsBelow).toBe(8);
    }
  });

  it('have ids of text and integers', async () => {
    const lines = [
      '{"text":"","id":"a"}',
      '{"text":"","id":12345678901234567890}',
      '{"text":"","id":7}',
      '{"text":"","id":[1]}',
      '{"text":""}',
      'bad',
    ];
    const { store, shard } = await open('x.jsonl', Buffer.from(lines.join('\n')), { id: 'id' });
    const reader = (await decoders.load('jsonl')).openBlock(store, shard.path, shard, {
      shard: 0,
      unit: 0,
      startRow: 0,
      endRow: 6,
      decodedBytes: 1,
    });
    const { slice, ids } = await rowsAndIds(reader, 1, 6);
    expect(ids).toEqual(['12345678901234567890', '7', null, null, null]);
    expect(textsOf(decodeRecords(slice as EncodedLineSlice))).toEqual(lines.slice(1));
  });

  it('longer than a document are bad rows, and are not read', async () => {
    const long = Buffer.alloc(65 * 2 ** 20, 0x61);
    const bytes = Buffer.concat([Buffer.from('{"text":"a"}\n{"text":"'), long, Buffer.from('"}\n{"text":"b"}\n')]);
    for (const [name, stored] of [
      ['x.jsonl', bytes],
      ['x.jsonl.gz', gzipSync(bytes, { level: 1 })],
    ] as const) {
      const opened = await open(name, stored);
      const all: (string | null)[] = [];
      for await (const { slice } of slices(opened, 100)) {
        expect(slice.bytes.length).toBeLessThan(100);
        const rows = decodeSlice(slice) as Rows;
        all.push(...textsOf(rows));
        for (const problem of rows.problems?.values() ?? [])
          expect(problem).toMatch(/^\(line 2\) has 681574\d\d bytes; a document has at most 67108864$/);
      }
      expect(all).toEqual(['a', null, 'b']);
    }
    const file = await open('x.txt', long);
    for await (const { slice } of slices(file, 1)) expect((decodeSlice(slice) as Rows).problems?.get(0)).toContain('has 68157440 bytes');
  });

  it('of a text file are one document, or one each', async () => {
    const content = Buffer.from('one\r\n\n  two\nthree');
    expect(await texts('x.txt', content)).toEqual(['one\r\n\n  two\nthree']);
    expect(await texts('x.md.gz', gzipSync(content))).toEqual(['one\r\n\n  two\nthree']);
    expect(await texts('x.txt', content, { options: { lines: true } })).toEqual(['one', '  two', 'three']);
    expect(await texts('x.txt', new Uint8Array(0))).toEqual(['']);
  });

  it('of separated values are written as the source says', async () => {
    const content = Buffer.from("1;'a;''b';x\n2;c;y\n");
    const csv = { delimiter: ';', quote: "'" };
    expect(await texts('x.csv', content, { options: { csv: { ...csv, header: ['n', 'text', 'o'] } } })).toEqual(["a;'b", 'c']);
    expect(await texts('x.csv', content, { column: '1', options: { csv: { ...csv, header: false } } })).toEqual(["a;'b", 'c']);
    await expect(open('x.csv', content, { options: { csv } })).rejects.toMatchObject({ code: 'COLUMN_MISSING' });
    expect(await texts('x.csv', new Uint8Array(0))).toEqual([]);
  });

  it('of JSON are delivered as JSON.parse reads them, whatever they are', async () => {
    const value = fc.oneof(
      fc.json({ noUnicodeString: false }),
      fc.jsonValue().map((own) => JSON.stringify(own)),
      fc.string().map((own) => `"${own}"`),
    );
    const line = fc
      .oneof(
        fc
          .tuple(fc.constantFrom('text', 'te', 'x.y', 'text.a'), value, value)
          .map(([name, a, b]) => `{ "${name}" :${a},"text":${b}, "z": ${a} }`),
        fc.tuple(value, fc.nat(40), fc.constantFrom('', '"', '\\', '{', ',', '\\ud800', '0')).map(([own, at, extra]) => {
          const whole = `{"text":${own}}`;
          return whole.slice(0, at) + extra + whole.slice(at);
        }),
        value,
      )
      .map((own) => own.replaceAll('\n', ' '));
    await fc.assert(
      fc.asyncProperty(fc.array(line, { minLength: 1, maxLength: 20 }), async (lines) => {
        const kept = lines
          .map((own) => Buffer.from(own).toString('utf8'))
          .filter((own) => /[^ \r\t]/.test(own) && !own.startsWith('\ufeff'));
        const expected = kept.map((own) => {
          try {
            const parsed = JSON.parse(own) as { text?: unknown } | null;
            const text = typeof parsed === 'object' && !Array.isArray(parsed) ? parsed?.text : undefined;
            return typeof text === 'string' ? Buffer.from(text).toString('utf8') : null;
          } catch {
            return null;
          }
        });
        expect(kept.length === 0 ? [] : await texts('x.jsonl', Buffer.from(kept.join('\n')))).toEqual(expected);
      }),
      { numRuns: 800 },
    );
  });

  it('of JSON are the same wherever the parts end in which they are decoded, and however long they are', async () => {
    const piece = fc.constantFrom(
      'a',
      'prose, ',
      '\u00e9\u4e2d',
      '\\n',
      '\\"',
      '\\\\',
      '\\u00e9',
      '\\ud83d\\ude00',
      '\\ud83d',
      '\\ude00x',
      '/',
      '\u{1f600}',
    );
    const body = fc.array(piece, { maxLength: 60 }).map((pieces) => pieces.join(''));
    const good = fc
      .tuple(body, fc.constantFrom(1, 1, 1, 40, 4000, 20_000), fc.boolean())
      .map(([own, times, first]) =>
        first
          ? `{"text":"${own.repeat(times)}","meta":{"a":[1,-2.5e3,{}],"b":null}}`
          : ` {"meta" : [ "${own}" , true],"text":"${own.repeat(times)}"} \r`,
      );
    const bad = fc.constantFrom(
      '{"text":"\\x"}',
      '{"text":"\t"}',
      '{"text":"a"',
      '{"text":"\\u12g4"}',
      '{"text":1}',
      '[]',
      '{"text":"a"}}',
      '{"text":tru}',
    );
    const rare = fc.constantFrom(
      '{"text":"a","text":"b"}',
      '{"te\\u0078t":"c"}',
      `{"deep":${'['.repeat(80)}${']'.repeat(80)},"text":"d"}`,
      `{"deep":${'['.repeat(64)}${']'.repeat(64)},"text":"e"}`,
    );
    const line = fc.oneof({ weight: 8, arbitrary: good }, bad, rare, fc.constantFrom('', ' \r'));
    await fc.assert(
      fc.asyncProperty(fc.array(line, { minLength: 1, maxLength: 60 }), fc.boolean(), async (lines, ends) => {
        const content = Buffer.from(lines.join('\n') + (ends ? '\n' : ''));
        const expected = lines.flatMap((own, i) => {
          if (!/[^ \r\t]/.test(own)) return [];
          try {
            const { text } = JSON.parse(own) as { text?: unknown };
            return [typeof text === 'string' ? Buffer.from(text).toString('utf8') : i + 1];
          } catch {
            return [i + 1];
          }
        });
        const opened = await open('x.jsonl', content);
        const all: (string | number)[] = [];
        for await (const { slice } of slices(opened, 17)) {
          const rows = decodeSlice(slice) as Rows;
          const lineOf = (row: number): number => Number(/^\(line (\d+)\)/.exec(rows.problems?.get(row) ?? '')?.[1]);
          all.push(...textsOf(rows).map((text, row) => text ?? lineOf(row)));
        }
        expect(all.length === expected.length && all.every((own, i) => own === expected[i])).toBe(true);
      }),
      { numRuns: 60 },
    );
  }, 60_000);

  it('of JSON that are good are all taken by the kernel, whose windows grow for long ones; it stops at the first that is not', () => {
    const wanted = Array.from({ length: 5000 }, (_, i) => 'a"b\n'.repeat(i === 700 ? 100_000 : i === 900 ? 500_000 : i % 100));
    const good = wanted.map((text) => `${JSON.stringify({ meta: { n: [1] }, text })}\n`).join('\n');
    const bytes = Buffer.from(`${good}{"text":1}\n{"text":"behind"}\n`);
    const out = { bytes: new Uint8Array(bytes.length), bounds: new Int32Array(5003) };
    const taken = TextKernel.open('text', bytes, out)!.take(0, 0, 5002, 0);
    expect(taken).toEqual({ rows: 5000, at: good.length, lines: 9999, length: wanted.join('').length });
    expect(Buffer.from(out.bytes.subarray(0, taken.length)).equals(Buffer.from(wanted.join('')))).toBe(true);
    expect(out.bounds[5000]).toBe(taken.length);
  });

  it('of files with bytes changed are rows or typed errors', async () => {
    const whole = readFileSync(path.join(directory, 'small.jsonl'));
    const table = readFileSync(path.join(directory, 'comma.csv'));
    await fc.assert(
      fc.asyncProperty(
        fc.boolean(),
        fc.array(fc.tuple(fc.nat(60_000), fc.nat(255)), { maxLength: 5 }),
        fc.nat(60_000),
        async (json, changes, end) => {
          const bytes = Buffer.from((json ? whole : table).subarray(0, end));
          for (const [at, byte] of changes) if (at < bytes.length) bytes[at] = byte;
          const name = json ? 'x.jsonl' : 'x.csv';
          const outcome = await texts(name, bytes, {}, 50, 70).catch((error: unknown) => (error as { code?: string }).code);
          if (!Array.isArray(outcome)) expect(outcome).toMatch(/^(COLUMN_MISSING|COLUMN_TYPE|SHARD_INVALID)$/);
        },
      ),
      { numRuns: 300 },
    );
  });
});
