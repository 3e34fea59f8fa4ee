import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CODE_POINT_OF_BYTE } from '../../src/tokenize/bpe/byte-alphabet.js';
import { compileBpe, type CompiledBpe } from '../../src/tokenize/bpe/compile.js';
import { createReferenceEncoder } from '../../src/tokenize/bpe/reference-encoder.js';
import { findReachable } from '../../src/tokenize/bpe/reachable-merges.js';
import { scanTokenizerJson } from '../../src/tokenize/bpe/scan-json.js';
import type { TokenizerJson } from '../../src/tokenize/bpe/tokenizer-json.js';
import { parseTokenizer } from '../../src/tokenize/load-tokenizer.js';

const BYTES = CODE_POINT_OF_BYTE.map((point) => String.fromCodePoint(point));

/** A tokenizer of bytes and of these tokens, with a merge for every way to cut each of them, as files that were made from lists of tokens have it. */
function tokenizerOf(tokens: readonly string[], ignoreMerges: boolean, order: (merge: readonly [string, string]) => number): object {
  const known = new Set([...BYTES, ...tokens]);
  const merges = tokens.flatMap((token) =>
    Array.from({ length: token.length - 1 }, (_, cut): [string, string] => [token.slice(0, cut + 1), token.slice(cut + 1)]).filter(
      ([left, right]) => known.has(left) && known.has(right),
    ),
  );
  merges.sort((a, b) => order(a) - order(b));
  const vocab = Object.fromEntries([...known].map((token, id) => [token, id]));
  return {
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
    model: { type: 'BPE', vocab, merges, ignore_merges: ignoreMerges },
  };
}

function compiled(json: object): CompiledBpe {
  const scanned = scanTokenizerJson(Buffer.from(JSON.stringify(json)))!;
  return compileBpe(JSON.parse(scanned.rest) as TokenizerJson, scanned, { specialTokens: 'plain' });
}

function encode(bpe: CompiledBpe, text: string): number[] {
  const bytes = Buffer.from(text);
  return Array.from(createReferenceEncoder(bpe).encodeBatch(bytes, Int32Array.of(0, bytes.length)).ids);
}

const letters = (min: number, max: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: min, maxLength: max });
/** Any tokens; and, as training makes them, tokens of two earlier ones each. */
const vocabulary = fc.oneof(
  fc.uniqueArray(letters(2, 6), { minLength: 1, maxLength: 30 }),
  fc.array(fc.tuple(fc.nat(), fc.nat()), { minLength: 1, maxLength: 30 }).map((pairs) => {
    const tokens = ['a', 'b', 'c'];
    for (const [left, right] of pairs) tokens.push(tokens[left % tokens.length] + tokens[right % tokens.length]);
    return [...new Set(tokens)].slice(3).filter((token) => token.length <= 12);
  }),
);

describe('reachable merges', () => {
  it('give the ids that all merges give, in any order of tokens and of merges', () => {
    let leftOut = 0;
    const property = fc.property(
      vocabulary,
      fc.constantFrom('tokens', 'lengths', 'shuffled'),
      fc.integer(),
      fc.array(letters(0, 30), { minLength: 1, maxLength: 4 }),
      (tokens, kind, salt, texts) => {
        const place = (merged: string): number => tokens.indexOf(merged);
        const order = ([left, right]: readonly [string, string]): number => {
          if (kind === 'tokens') return place(left + right);
          if (kind === 'lengths') return 100 * (left.length + right.length) + place(left + right);
          return Math.imul(Math.imul(place(left + right) + 7, 31) + left.length, salt | 1) >>> 0;
        };
        const all = compiled(tokenizerOf(tokens, false, order));
        const { merges, selfMade } = findReachable(all.model);
        leftOut += (all.model.merges.length - merges.length) / 3;
        for (const text of texts) expect(encode({ ...all, model: { ...all.model, merges } }, text)).toEqual(encode(all, text));
        tokens.forEach((token, i) => {
          if (selfMade[256 + i] === 1) expect(encode(all, token)).toEqual([256 + i]);
        });
      },
    );
    fc.assert(property, { numRuns: 1000, seed: 5 });
    expect(leftOut).toBeGreaterThan(200);
  });

  it('and whole words are what the kernel encodes, as the plain TypeScript does', () => {
    const property = fc.property(
      vocabulary,
      fc.boolean(),
      fc.boolean(),
      fc.array(letters(0, 60), { minLength: 1, maxLength: 8 }),
      (tokens, whole, sorted, texts) => {
        const json = tokenizerOf(sorted ? tokens.toSorted((a, b) => a.length - b.length) : tokens, whole, ([left, right]) =>
          tokens.indexOf(left + right),
        );
        const kernel = parseTokenizer(json, 'random');
        expect(kernel.path).toBe('kernel');
        const bpe = compiled(json);
        for (const text of [...texts, ...tokens]) expect(Array.from(kernel.encode(text))).toEqual(encode(bpe, text));
      },
    );
    fc.assert(property, { numRuns: 150, seed: 6 });
  });
});
