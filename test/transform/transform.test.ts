import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JsonValue } from '../../src/core/canonical-json.js';
import { createRowContext } from '../../src/transform/context.js';
import { loadTransform } from '../../src/transform/load-transform.js';
import { runInTime } from '../../src/transform/time-limit.js';
import { transformRow, type MadeColumn, type TransformedRow, type TransformFunction } from '../../src/transform/transform.js';

const PLACE = { seed: 7, source: 'web', shard: 'a/part-0.parquet', row: 12, epoch: 0 };
const TEXT: MadeColumn = { column: 'body', columns: ['body', 'lang'], kind: 'text', invalidUtf8: 'error' };
const MESSAGES: MadeColumn = { column: 'messages', columns: ['messages', 'tools'], kind: 'messages', invalidUtf8: 'error' };

function made(transform: TransformFunction, makes = TEXT, row: Readonly<Record<string, JsonValue>> = { body: 'x' }): TransformedRow {
  return transformRow({ transform, source: 'web', file: 'clean.js', makes }, row, createRowContext(PLACE));
}

const IDS: MadeColumn = { column: 'ids', columns: ['ids'], kind: 'ids', invalidUtf8: 'error' };

describe('an answer of a transform', () => {
  it.each([
    ['a list', [1, 2]],
    ['an array of 16 bits', Uint16Array.of(1, 2)],
    ['an array of 64 bits', BigInt64Array.of(1n, 2n)],
    ['a part of an array', Int32Array.of(0, 1, 2, 3).subarray(1, 3)],
  ])('that is %s of token ids is a row of its own', (_, ids) => {
    const answer = made(() => ({ ids, rest: 'x' }), IDS);
    expect(answer).toEqual({ rows: [{ ids: Int32Array.of(1, 2) }], bytes: 8 });
  });

  it('may be the same array, filled anew for each row', () => {
    const ids = new Int32Array(1);
    const rows = [1, 2, 3].map((id) => {
      const answer = made(() => {
        ids[0] = id;
        return { ids };
      }, IDS);
      return 'rows' in answer ? answer.rows[0].ids : undefined;
    });
    expect(rows).toEqual([1, 2, 3].map((id) => Int32Array.of(id)));
  });

  it.each([
    ['no ids', {}, 'undefined, not a list of token ids'],
    ['text as ids', { ids: '12' }, 'the text "12", not a list of token ids'],
  ])('of %s is a problem', (_, answer, problem) =>
    expect(made(() => answer, IDS)).toEqual({ problem: `is transformed by clean.js to a row whose ids is ${problem}` }),
  );

  it.each([
    ['a fraction', [1, 2.5]],
    ['text', [1, '2']],
    ['null', [1, null]],
    ['what 32 bits do not hold', [1, 2 ** 31]],
    ['what 32 bits do not hold, in 64', BigInt64Array.of(1n, 2n ** 32n)],
    ['no number', [1, NaN]],
    ['a hole', Array.from({ length: 3 }).fill(1, 0, 1)],
  ])('of ids with %s is told by the place', (_, ids) =>
    expect(made(() => ({ ids }), IDS)).toEqual({
      problem: 'is transformed by clean.js to a row whose ids holds what is no token id, at 1',
    }),
  );

  it.each([
    ['a row', () => ({ body: 'a', html: 'b'.repeat(1000) }), { rows: [{ body: 'a' }], bytes: 1 }],
    ['several rows', () => [{ body: 'a' }, { body: 'é' }], { rows: [{ body: 'a' }, { body: 'é' }], bytes: 3 }],
    ['null leaves the row out', () => null, { rows: [], bytes: 0 }],
    ['no rows leave it out', () => [], { rows: [], bytes: 0 }],
    ['empty text is a document', () => ({ body: '' }), { rows: [{ body: '' }], bytes: 0 }],
  ])('%s', (_, transform, expected) => expect(made(transform)).toEqual(expected));

  it.each([
    ['a forgotten return', () => undefined, 'is transformed by clean.js to undefined, not to a row'],
    ['text', () => 'abc', 'is transformed by clean.js to the text "abc", not to a row'],
    ['a list of lists', () => [[{ body: 'a' }]], 'is transformed by clean.js to a list whose item 0 is a list, not to a row'],
    ['null among rows', () => [{ body: 'a' }, null], 'is transformed by clean.js to a list whose item 1 is null, not to a row'],
    ['no text', () => ({ text: 'a' }), 'is transformed by clean.js to a row whose body is undefined, not text'],
    [
      'a number as text',
      () => [{ body: 3 }],
      'is transformed by clean.js to a list whose item 0 is a row whose body is a number, not text',
    ],
    ['half a surrogate pair', () => ({ body: 'a\ud800' }), 'is transformed by clean.js to a row whose body has half a surrogate pair'],
    ['too many rows', () => new Array<object>(65_537).fill({ body: '' }), 'is transformed by clean.js to 65537 rows; it may be 65536'],
    ['too large', () => ({ body: 'x'.repeat(2 ** 26 + 1) }), 'is transformed by clean.js to a row of 67108865 bytes; it may have 67108864'],
    [
      'too large together',
      () => new Array<object>(3).fill({ body: 'x'.repeat(2 ** 25) }),
      'is transformed by clean.js to more than 67108864 bytes',
    ],
    [
      'an exception',
      () => {
        throw new Error('no\nbody');
      },
      'cannot be transformed by clean.js: no',
    ],
    [
      'an exception that is no error',
      () => {
        throw Object.create(null);
      },
      'cannot be transformed by clean.js: it threw what cannot be shown',
    ],
  ])('%s is a problem, named as what it is', (_, transform, problem) => expect(made(transform)).toEqual({ problem }));

  it('that is a promise is a defect of the transform, not of the row', () => {
    expect(made(() => Promise.resolve({ body: 'a' }))).toMatchObject({ isDefect: true, problem: expect.stringContaining('to a promise') });
  });

  it('for a template is what JSON has of it, with null for columns that it does not name', () => {
    expect(made(() => ({ messages: [{ role: 'user', at: new Date(0), skip: undefined }], more: 1 }), MESSAGES)).toMatchObject({
      rows: [{ messages: [{ role: 'user', at: '1970-01-01T00:00:00.000Z' }], tools: null, more: 1 }],
    });
    expect(made(() => ({ messages: 1n }), MESSAGES)).toMatchObject({ problem: expect.stringContaining('BigInt') });
    expect(made(() => ({ messages: 'a\ud800' }), MESSAGES)).toMatchObject({ problem: expect.stringContaining('half a surrogate pair') });
    expect(made(() => ({ messages: '\\ud800 \\\\ud800' }), MESSAGES)).toHaveProperty('rows');
  });
});

describe('the context of a row', () => {
  it('has what the plan says, and cannot be changed', () => {
    const context = createRowContext(PLACE);
    expect(context).toMatchObject({ source: 'web', shard: 'a/part-0.parquet', row: 12, epoch: 0 });
    expect(Object.isFrozen(context)).toBe(true);
  });

  it('has random numbers that depend on the place of the row and on the seed, and are these', () => {
    const numbers = (changes: Partial<typeof PLACE> = {}): number[] => {
      const { random } = createRowContext({ ...PLACE, ...changes });
      return Array.from({ length: 9 }, () => random());
    };
    expect(numbers()).toEqual(numbers());
    expect(numbers().slice(0, 5)).toMatchInlineSnapshot(`
      [
        0.1887922383565357,
        0.8381910395322161,
        0.6829055045402471,
        0.6171867170623963,
        0.35335767723006295,
      ]
    `);
    const all = [{}, { seed: 8 }, { source: 'code' }, { shard: 'b' }, { row: 13 }, { epoch: 1 }].flatMap(numbers);
    expect(new Set(all).size).toBe(54);
    expect(all.every((number) => number >= 0 && number < 1)).toBe(true);
    const many = Array.from({ length: 4000 }, (_, row) => createRowContext({ ...PLACE, row }).random());
    expect(many.reduce((sum, number) => sum + number, 0) / many.length).toBeCloseTo(0.5, 1);
  });
});

describe('a module', () => {
  const load = (code: string): Promise<TransformFunction> => loadTransform({ file: 'clean.js', code });

  it('of one file may import what Node has', async () => {
    const transform = await load(
      "import { createHash } from 'node:crypto';\nexport default (row) => ({ body: createHash('md5').update(row.body).digest('hex') }); // end",
    );
    expect(made(transform)).toMatchObject({ rows: [{ body: '9dd4e461268c8034f5c8564e155c67a6' }] });
  });

  it.each([
    ['syntax', 'export default (row) => {', /cannot be loaded: Unexpected end of input/],
    ['its top level', '\n\nthrow new Error("oh")', /cannot be loaded: oh \(line 3, column 7\)/],
    ['a file beside it', "import './y.js'; export default () => null", / imports \.\/y\.js, and can import nothing/],
    ['a package', "import 'left-pad'; export default () => null", / imports left-pad, and can/],
    ['no default export', 'export const transform = () => null', /has no default export/],
    ['another default export', 'export default { transform: 1 }', /no function but object/],
    ['an async function', 'export default async (row) => row', /exports an async function/],
    ['a generator', 'export default function* (row) { yield row; }', /exports a generator function/],
  ])('that fails by %s is refused when it is loaded', async (_, code, message) => {
    await expect(load(code)).rejects.toMatchObject({ code: 'TRANSFORM_INVALID', message, detail: { file: 'clean.js' } });
  });
});

describe('a time limit', () => {
  it('ends loops and regular expressions that never end, also where they catch all', () => {
    const endless = [
      () => {
        for (;;);
      },
      () => {
        for (;;) {
          try {
            for (;;);
          } catch {
            continue;
          }
        }
      },
      () => /^(a+)+$/.test(`${'a'.repeat(40)}b`),
    ];
    for (const work of endless) expect(runInTime(() => void work(), 30)).toBe(false);
  });

  it('says that work came to its end, and throws what it throws', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        let done = '';
        expect(runInTime(() => (done = text), 10_000)).toBe(true);
        expect(done).toBe(text);
        const error = new TypeError(text);
        expect(() =>
          runInTime(() => {
            throw error;
          }, 10_000),
        ).toThrow(error);
      }),
      { numRuns: 20 },
    );
  });
});
