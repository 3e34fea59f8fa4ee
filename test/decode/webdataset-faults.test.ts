import fc from 'fast-check';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/config/limits.js';
import { HeadraceError } from '../../src/core/errors.js';
import type { Shard } from '../../src/core/shard.js';
import type { PlainRequest, Rows } from '../../src/decode/decoder.js';
import { scanHere } from '../../src/decode/scan.js';
import { createWebDatasetDecoder } from '../../src/decode/webdataset/block-reader.js';
import { fileStore } from '../../src/store/file.js';
import { memoryStore } from '../../src/store/memory.js';
import type { Store } from '../../src/store/store.js';
import { tarOf, withChecksum, type TarMember } from '../support/tar.js';
import { decodeSlice, sliceOf } from '../support/slices.js';

const signal = new AbortController().signal;
const decoder = createWebDatasetDecoder(scanHere);
const TEXT: PlainRequest = { column: 'txt', kind: 'text' };

interface Read {
  readonly texts: (string | null)[];
  /** Of the rows that are null. */
  readonly problems: string[];
  readonly shard: Shard;
}

async function read(store: Store, file: string, request: PlainRequest = TEXT): Promise<Read> {
  const object = await store.head(file);
  const shard = {
    path: file,
    uri: store.uri + file,
    size: object.size,
    etag: object.etag,
    ...(await decoder.index(store, object, request)),
  };
  const [texts, problems]: [(string | null)[], string[]] = [[], []];
  for (const [unit, { startRow, rows }] of shard.units.entries()) {
    const reader = decoder.openBlock(store, file, shard, { shard: 0, unit, startRow, endRow: startRow + rows, decodedBytes: 1 });
    const decoded = decodeSlice(await sliceOf(reader, startRow, startRow + rows, signal)) as Rows;
    for (let i = 0; i < decoded.count; i++) {
      const [start, end] = [decoded.bounds[i], decoded.bounds[i + 1]];
      const isNull = decoded.valid?.[i] === 0;
      if (isNull) problems.push(decoded.problems?.get(i) ?? '');
      texts.push(
        isNull
          ? null
          : decoded.kind === 'text'
            ? Buffer.from(decoded.bytes.subarray(start, end)).toString()
            : decoded.ids.slice(start, end).join(' '),
      );
    }
  }
  return { texts, problems, shard };
}

const readBytes = (bytes: Uint8Array, request?: PlainRequest): Promise<Read> =>
  read(memoryStore('memory://odd/', { 'a.tar': bytes }), 'a.tar', request);

const SAMPLES = [
  { name: 'a.txt', body: 'first' },
  { name: 'a.json', body: '{}' },
  { name: 'b.txt', body: 'second' },
];

/** FAULTS 36 to 39. */
describe('odd and hostile tars', () => {
  it('entries that are no files, and paths that lead elsewhere, are skipped or names of samples; nothing is written', async () => {
    const bytes = tarOf([
      { name: 'dir/', type: '5' },
      { name: 'old-dir/', type: '\0' },
      { name: '../../../etc/x.txt', body: 'up' },
      { name: 'x.txt', type: '2', link: '/etc/passwd' },
      { name: 'x.txt', type: '1', link: 'y', size: 5000 },
      { name: 'dev.txt', type: '3' },
      { name: 'block.txt', type: '4' },
      { name: 'pipe.txt', type: '6' },
      { name: '/abs/y.txt', body: 'root' },
    ]);
    expect((await readBytes(bytes)).texts).toEqual(['up', 'root']);
  });

  it.each([
    ['negative', [0xff, ...new Array<number>(10).fill(0xff), 0xf0], 'SHARD_INVALID', /negative/],
    ['beyond the object', [...Buffer.from('77777777777\0')], 'SHARD_INVALID', /of which \d+ are not there/],
    ['of 2⁶⁴ bytes', [0x80, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 'SHARD_INVALID', /beyond any object/],
    ['of 2⁴⁰ bytes', [0x80, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0], 'SHARD_INVALID', /cut short/],
    ['that is no number', [...Buffer.from('12x4567\0    ')], 'SHARD_INVALID', /no number/],
  ] as const)('a size %s is refused before anything is allocated for it', async (_name, size, code, message) => {
    const bytes = tarOf(SAMPLES);
    bytes.set(size, 124);
    await expect(readBytes(withChecksum(bytes, 0))).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
      detail: { byte: 0 },
    });
  });

  it('the same sizes in a PAX header are refused', async () => {
    for (const size of ['-1', '99999999999999999999', '1e3', '']) {
      const bytes = tarOf([{ name: 'a.txt', body: 'x', pax: { size } }]);
      await expect(readBytes(bytes), size).rejects.toMatchObject({ code: 'SHARD_INVALID' });
    }
    expect((await readBytes(tarOf([{ name: 'a.txt', body: 'x', size: 0, pax: { size: '1', path: 'b/ü.txt' } }]))).texts).toEqual(['x']);
  });

  it('sparse files, parts of volumes, and global names are unsupported, and said so', async () => {
    for (const odd of [
      { name: 'a.txt', type: 'S' },
      { name: 'a.txt', type: 'M' },
      { name: 'a.txt', body: 'x', pax: { 'GNU.sparse.major': '1' } },
      { name: 'g', type: 'g', body: '14 path=x.txt\n' },
    ]) {
      await expect(readBytes(tarOf([odd])), JSON.stringify(odd)).rejects.toMatchObject({ code: 'SHARD_UNSUPPORTED' });
    }
    expect((await readBytes(tarOf([{ name: 'g', type: 'g', body: '13 comment=x\n' }, ...SAMPLES]))).texts).toEqual(['first', 'second']);
  });

  it('two names, or two sizes, for one member are damage: the member of the first one was lost', async () => {
    const long = (name: string): TarMember => ({ name: '././@LongLink', type: 'L', body: `${name}\0` });
    expect((await readBytes(tarOf([long('a.txt'), { name: 'cut', body: 'x' }]))).texts).toEqual(['x']);
    for (const members of [
      [long('a.txt'), long('b.txt'), { name: 'cut', body: 'x' }],
      [long('a.txt'), { name: 'cut', body: 'x', pax: { path: 'b.txt' } }],
      [
        { name: 'p', type: 'x', body: '14 path=a.txt\n' },
        { name: 'cut', body: 'x', pax: { path: 'b.txt' } },
      ],
      [
        { name: 'p', type: 'x', body: '9 size=1\n' },
        { name: 'a.txt', body: 'x', pax: { size: '1' } },
      ],
    ]) {
      await expect(readBytes(tarOf(members)), JSON.stringify(members)).rejects.toMatchObject({
        code: 'SHARD_INVALID',
        message: expect.stringContaining('for one member'),
      });
    }
  });

  it('a long name that goes on behind its size is damage: readers differ in where it ends', async () => {
    const long = (name: string): TarMember => ({ name: '././@LongLink', type: 'L', latin1: name });
    const whole = tarOf([long('d/a.txt'), { name: 'cut', body: 'x' }]); // without a NUL, but for those of its padding
    expect((await readBytes(whole)).texts).toEqual(['x']);
    expect((await readBytes(tarOf([long(`${'d'.repeat(506)}/a.txt`), { name: 'cut', body: 'x' }]))).texts).toEqual(['x']); // without padding
    const damaged = Uint8Array.from(whole);
    damaged.set(Buffer.from('.json'), 512 + 'd/a.txt'.length);
    await expect(readBytes(damaged)).rejects.toMatchObject({ code: 'SHARD_INVALID', message: expect.stringContaining('behind its end') });
  });

  it('a NUL in the name of a PAX header is damage, and ends no name', async () => {
    const bytes = tarOf([{ name: 'cut', body: 'x', pax: { path: 'a\0b.txt' } }]);
    await expect(readBytes(bytes)).rejects.toMatchObject({ code: 'SHARD_INVALID', message: expect.stringContaining('NUL') });
  });

  it('a line end in the name of a directory that has a dot makes it a name of no sample, as webdataset has it', async () => {
    const pax = (path: string): TarMember => ({ name: 'cut', body: path, pax: { path } });
    expect((await readBytes(tarOf([pax('a.b\nc/d.txt'), pax('a\nb/c.txt'), pax('d/e\nf.txt')]))).texts).toEqual([
      'a\nb/c.txt',
      'd/e\nf.txt',
    ]);
  });

  it('a checksum that is wrong is damage at a byte', async () => {
    const bytes = tarOf(SAMPLES);
    bytes[1024] ^= 1;
    await expect(readBytes(bytes)).rejects.toMatchObject({ code: 'SHARD_INVALID', detail: { byte: 1024 } });
  });

  it('what is cut short is an error wherever that is; only the blocks of the end may be missing', async () => {
    const bytes = tarOf(SAMPLES);
    const end = 3 * 1024;
    for (let length = 0; length < bytes.length; length += 256) {
      const outcome = readBytes(bytes.slice(0, length));
      // between entries nothing shows that some are missing
      if (length > 0 && length % 1024 === 0 && length <= end)
        expect((await outcome).texts).toEqual(length === end ? ['first', 'second'] : ['first']);
      else if (length >= end + 512) expect((await outcome).texts).toEqual(['first', 'second']);
      else await expect(outcome, String(length)).rejects.toMatchObject({ code: 'SHARD_INVALID' });
    }
  });

  it('data after the end is not left out in silence', async () => {
    const joined = Buffer.concat([tarOf(SAMPLES), tarOf(SAMPLES)]);
    await expect(readBytes(new Uint8Array(joined))).rejects.toMatchObject({
      code: 'SHARD_INVALID',
      message: expect.stringMatching(/after its end/),
    });
    const holed = tarOf(SAMPLES);
    holed.fill(0, 1024, 1536);
    await expect(readBytes(holed)).rejects.toMatchObject({ code: 'SHARD_INVALID' });
  });

  it('an empty archive has no rows; one without the member says which it has', async () => {
    expect((await readBytes(tarOf([]))).texts).toEqual([]);
    await expect(readBytes(tarOf(SAMPLES), { column: 'text', kind: 'text' })).rejects.toMatchObject({
      code: 'COLUMN_MISSING',
      hint: expect.stringMatching(/have txt, json.*txt/),
    });
    await expect(readBytes(tarOf(SAMPLES), { column: 'txt', kind: 'tokens' })).rejects.toMatchObject({ code: 'COLUMN_TYPE' });
  });

  it('duplicates, members that are missing, and keys that come back are rows of their own, with a reason', async () => {
    const { texts, problems } = await readBytes(
      tarOf([
        ...SAMPLES,
        { name: 'c.json', body: '{}' },
        { name: 'd.txt', body: 'x' },
        { name: 'd.TXT', body: 'y' },
        { name: 'a.txt', body: 'again' },
      ]),
    );
    expect(texts).toEqual(['first', 'second', null, null, 'again']);
    expect(problems).toEqual(['has no member txt (sample c)', 'has two members txt (sample d)']);
  });

  it('JSON that is none, of another type, or with half a character, is a bad row that says so', async () => {
    const jsons = [
      '{"t": "good"}',
      '{"t": 1}',
      '{"t": ',
      '{"t": {"a": []}}',
      '[]',
      '{"t": "\\ud800"}',
      '{}',
      '{"t": null}',
      '{"__proto__": {"t": "x"}}',
    ];
    const bytes = tarOf(jsons.map((body, i) => ({ name: `${i}.json`, body })));
    const { texts, problems } = await readBytes(bytes, { column: 'json.t', kind: 'text' });
    expect(texts).toEqual(['good', null, null, null, null, null, null, null, null]);
    expect(problems[0]).toBe('has a number in json.t (sample 1), and no text');
    expect(problems[1]).toMatch(/no valid JSON in its member json \(sample 2\)/);
    expect(problems[4]).toMatch(/half a character/);
    expect(
      (await readBytes(tarOf([{ name: 'a.json', body: '{"t": [1, -5, 4294967296]}' }]), { column: 'json.t', kind: 'tokens' })).texts,
    ).toEqual(['1 -1 -1']);
    expect((await readBytes(tarOf([{ name: 'a.json', body: '{"t": [1.5]}' }]), { column: 'json.t', kind: 'tokens' })).problems[0]).toMatch(
      /whole numbers/,
    );
  });

  it('a member longer than a document may be is a bad row, and is not read', async () => {
    const body = 'x'.repeat(LIMITS.tarMemberBytesMax + 1);
    const { texts, problems, shard } = await readBytes(
      tarOf([
        { name: 'a.txt', body },
        { name: 'b.txt', body: 'y' },
      ]),
    );
    expect(texts).toEqual([null, 'y']);
    expect(problems[0]).toMatch(/^has 67108865 bytes in its member txt \(sample a\)/);
    expect(shard.units[0].storedBytes).toBe(3 * 512);
  });

  it('mutated archives give a typed error, or the rows of an archive with other names and texts, and never more', async () => {
    const good = tarOf(
      Array.from({ length: 12 }, (_, i) => ({
        name: `${'n'.repeat(i * 15)}${i}.txt`,
        body: `text ${i}`,
        ...(i % 4 === 3 && { pax: { path: `p${i}.txt` } }),
      })),
    );
    const mutation = fc.record({ at: fc.nat({ max: good.length - 1 }), value: fc.nat({ max: 255 }), mend: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(
        fc.array(mutation, { minLength: 1, maxLength: 4 }),
        fc.option(fc.nat({ max: good.length })),
        async (mutations, cut) => {
          let bytes = Uint8Array.from(good.subarray(0, cut ?? good.length));
          for (const { at, value, mend } of mutations) {
            if (at >= bytes.length) continue;
            bytes[at] = value;
            const header = at - (at % 512);
            if (mend && header + 512 <= bytes.length) bytes = withChecksum(bytes, header);
          }
          try {
            const { texts } = await readBytes(bytes);
            expect(texts.length).toBeLessThanOrEqual(2 * 12 + mutations.length);
          } catch (error) {
            if (!(error instanceof HeadraceError)) throw error;
            expect(['SHARD_INVALID', 'SHARD_UNSUPPORTED', 'COLUMN_MISSING']).toContain(error.code);
          }
        },
      ),
      { numRuns: 1500 },
    );
  });

  it('bytes that change after the index was made give an error, or rows with other texts, never other rows', async () => {
    const good = tarOf(Array.from({ length: 12 }, (_, i) => ({ name: `${i}.txt`, body: `text ${i}` })));
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: good.length - 1025 }), fc.nat({ max: 255 }), fc.boolean(), async (at, value, mend) => {
        const store = memoryStore('memory://odd/', { a: good });
        const object = await store.head('a');
        const index = await decoder.index(store, object, TEXT);
        let bytes = Uint8Array.from(good);
        bytes[at] = value;
        if (mend) bytes = withChecksum(bytes, at - (at % 512));
        const changed = { ...memoryStore('memory://odd/', { a: bytes }) };
        const shard: Shard = { path: 'a', uri: 'memory://odd/a', size: object.size, etag: 'v1', ...index };
        const reader = decoder.openBlock(changed, 'a', shard, { shard: 0, unit: 0, startRow: 0, endRow: 12, decodedBytes: 1 });
        try {
          expect((decodeSlice(await sliceOf(reader, 3, 9, signal)) as Rows).count).toBe(6);
        } catch (error) {
          expect(error).toMatchObject({ code: expect.stringMatching(/SHARD_INVALID|SHARD_UNSUPPORTED/) });
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe('a tar of 20 GB, most of it in long members', () => {
  let dir: string;
  const MEMBERS = 20;
  const BODY = 1_000_000_000;

  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'headrace-tar-'));
    const file = await open(path.join(dir, 'big.tar'), 'w');
    let at = 0;
    for (let i = 0; i < MEMBERS; i++) {
      // headers only: the bodies are holes of the file
      const [video] = headersOf([{ name: `${i}.mp4`, size: BODY }]);
      await file.write(video, 0, 512, at);
      at += 512 + Math.ceil(BODY / 512) * 512;
      const text = tarOf([{ name: `${i}.txt`, body: `caption ${i}` }]).subarray(0, 1024);
      await file.write(text, 0, 1024, at);
      at += 1024;
    }
    await file.truncate(at + 1024);
    await file.close();
  });
  afterAll(() => rm(dir, { recursive: true }));

  const headersOf = (entries: Parameters<typeof tarOf>[0]): Uint8Array[] => entries.map((entry) => tarOf([entry]).subarray(0, 512));

  it('is indexed and read in its headers and captions only', async () => {
    const files = fileStore();
    let bytes = 0;
    const store: Store = {
      ...files,
      read: (file, range, options) => {
        bytes += range.endByte - range.startByte;
        return files.read(file, range, options);
      },
    };
    const { texts, shard } = await read(store, path.join(dir, 'big.tar'));
    expect(shard.size).toBeGreaterThan(20e9);
    expect(texts).toEqual(Array.from({ length: MEMBERS }, (_, i) => `caption ${i}`));
    expect(bytes).toBeLessThan(4 * MEMBERS * LIMITS.tarScanBytesMin);
  });
});
