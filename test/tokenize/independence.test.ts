import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TokenizedDocuments, Tokenizer } from '../../src/tokenize/tokenizer.js';
import { packDocuments } from './documents.js';
import { createRandom } from './random.js';
import { createStrings } from './random-strings.js';
import { code, prose } from './real-text.js';
import { SENTENCES } from './sentences.js';
import { createTokenizer, readTokenizerFile, tokenizerNames, type SpecialTokens, type TokenizerFile } from './tokenizers.js';

const SEED = Number(process.env.HEADRACE_EXACT_SEED ?? 4);
/** One of each family, unless HEADRACE_EXACT names others. */
const NAMES = tokenizerNames(process.env.HEADRACE_EXACT ?? 'gpt2,qwen3,llama2');

/** The answer is only valid until the next call: a copy, one array a document. */
function separate({ ids, bounds }: TokenizedDocuments): number[][] {
  return Array.from({ length: bounds.length - 1 }, (_, i) => Array.from(ids.subarray(bounds[i], bounds[i + 1])));
}

function encode(tokenizer: Tokenizer, documents: readonly string[]): number[][] {
  const { bytes, bounds } = packDocuments(documents);
  return separate(tokenizer.encodeBatch(bytes, bounds));
}

function someDocuments(file: TokenizerFile): string[] {
  const next = createStrings(file, createRandom(SEED, `independence ${file.name}`));
  const found = [...prose(60_000), ...code(60_000), ...SENTENCES, ...Array.from({ length: 600 }, next), '', ' ', 'a', '\n', ''];
  return [...found, ...found.slice(0, 40)]; // some twice
}

describe.each(NAMES)('ids of %s', (name) => {
  const file = readTokenizerFile(name);
  const documents = someDocuments(file);
  const used = { plain: createTokenizer(file, 'plain'), match: createTokenizer(file, 'match') };

  describe.each<SpecialTokens>(['plain', 'match'])('special tokens: %s', (special) => {
    const tokenizer = used[special];
    const together = encode(tokenizer, documents);

    it('are the same for a document alone, first and last, and the second time', () => {
      expect(documents.map((document) => encode(tokenizer, [document])[0])).toEqual(together);
      expect(encode(tokenizer, documents.toReversed()).reverse()).toEqual(together);
      expect(encode(tokenizer, documents)).toEqual(together);
    });

    it('do not depend on what was encoded before', () => {
      // much that is new to a cache, then the same documents; and the same by a tokenizer that saw nothing else
      const next = createStrings(file, createRandom(SEED + 1, 'something else'));
      encode(tokenizer, [...code(400_000), ...Array.from({ length: 3000 }, next), 'x'.repeat(50_000)]);
      expect(encode(tokenizer, documents)).toEqual(together);
      expect(encode(createTokenizer(file, special), documents.toReversed()).reverse()).toEqual(together);
    });

    it('do not depend on batch bounds, or on where a batch lies in memory', () => {
      const { bytes, bounds } = packDocuments(documents);
      const property = fc.property(
        fc.array(fc.nat(documents.length), { maxLength: 12 }),
        fc.nat(9),
        fc.boolean(),
        (cuts, offset, fresh) => {
          const edges = [0, ...cuts.toSorted((left, right) => left - right), documents.length];
          const moved = new Uint8Array(bytes.length + offset + 5).fill(0xff).subarray(offset, offset + bytes.length);
          moved.set(bytes);
          const ids = edges.slice(1).flatMap((end, i) => {
            // the batch in its place among the others, or by itself
            const own = bounds.subarray(edges[i], end + 1);
            if (!fresh) return separate(tokenizer.encodeBatch(moved, own));
            return separate(
              tokenizer.encodeBatch(
                moved.slice(own[0], own[own.length - 1]),
                own.map((bound) => bound - own[0]),
              ),
            );
          });
          expect(ids).toEqual(together);
          expect(Buffer.compare(moved, bytes)).toBe(0); // the tokenizer leaves its input alone
        },
      );
      fc.assert(property, { numRuns: 12, seed: SEED });
    });

    it('go on from one document to the next: bounds start at 0, never fall, and end at the last id', () => {
      const { bytes, bounds } = packDocuments(documents);
      const answer = tokenizer.encodeBatch(bytes, bounds);
      expect(answer.bounds[0]).toBe(0);
      expect(answer.bounds.every((bound, i) => i === 0 || bound >= answer.bounds[i - 1])).toBe(true);
      expect(answer.bounds.at(-1)).toBe(answer.ids.length);
      expect(answer.ids.every((id) => id >= 0 && id < tokenizer.vocabSize)).toBe(true);
      expect(separate(tokenizer.encodeBatch(new Uint8Array(0), Int32Array.of(0)))).toEqual([]);
      expect(separate(tokenizer.encodeBatch(new Uint8Array(0), Int32Array.of(0, 0, 0)))).toEqual([[], []]);
    });
  });
});
