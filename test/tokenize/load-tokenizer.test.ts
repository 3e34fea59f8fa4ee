import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadTokenizer } from '../../src/open-tokenizer.js';
import { CODE_POINT_OF_BYTE } from '../../src/tokenize/bpe/byte-alphabet.js';
import { compileBpe } from '../../src/tokenize/bpe/compile.js';
import { createReferenceEncoder } from '../../src/tokenize/bpe/reference-encoder.js';
import { scanTokenizerJson } from '../../src/tokenize/bpe/scan-json.js';
import type { TokenizerJson } from '../../src/tokenize/bpe/tokenizer-json.js';
import { loadKernel, createSharedMemory } from '../../src/core/kernel.js';
import { TABLES_START } from '../../src/tokenize/bpe/kernel-tables.js';
import { parseTokenizer } from '../../src/tokenize/load-tokenizer.js';
import { LIMITS } from '../../src/config/limits.js';
import { sampleDocuments } from '../../examples/corpus/prose.js';
import { tokenizerPath } from './tokenizers.js';

const GPT2 = tokenizerPath('gpt2');
const bytes = readFileSync(GPT2);

function concatenated(texts: readonly string[]): { readonly text: Uint8Array; readonly bounds: Int32Array } {
  const parts = texts.map((text) => Buffer.from(text, 'utf8'));
  const bounds = new Int32Array(parts.length + 1);
  for (const [i, part] of parts.entries()) bounds[i + 1] = bounds[i] + part.length;
  return { text: Buffer.concat(parts), bounds };
}

describe('loading a tokenizer', () => {
  it('from a path, a URI, bytes and an object gives the same ids', async () => {
    const text = 'The mill turns; the race runs.\n\n  “Water”, he said.';
    const expected = parseTokenizer(bytes, 'gpt2').encode(text);
    for (const source of [GPT2, `file://${GPT2}`, path.relative(process.cwd(), GPT2), JSON.parse(bytes.toString('utf8')) as object]) {
      const tokenizer = await loadTokenizer(source);
      expect(tokenizer.encode(text)).toEqual(expected);
      expect([tokenizer.path, tokenizer.vocabSize, tokenizer.decode(expected)]).toEqual(['kernel', 50257, text]);
    }
  });

  it('names a file that is not there, and one that is no tokenizer', async () => {
    await expect(loadTokenizer('/nowhere/tokenizer.json')).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' });
    await expect(loadTokenizer({ model: 5 })).rejects.toMatchObject({ code: 'TOKENIZER_INVALID' });
    await expect(loadTokenizer({ model: { type: 'BPE', vocab: { a: 0 }, merges: ['a b'] } })).rejects.toMatchObject({
      code: 'TOKENIZER_INVALID',
    });
  });

  it('special tokens in text are text, or the tokens, as asked', () => {
    const text = 'a<|endoftext|>b';
    expect(Array.from(parseTokenizer(bytes, 'gpt2').encode(text))).not.toContain(50256);
    expect(Array.from(parseTokenizer(bytes, 'gpt2', { specialTokens: 'match' }).encode(text))).toEqual([64, 50256, 65]);
  });

  it('the fingerprint is of the file and of what is done with special tokens', () => {
    const [plain, match] = (['plain', 'match'] as const).map((specialTokens) => parseTokenizer(bytes, 'x', { specialTokens }).fingerprint);
    expect(plain).toMatch(/^[0-9a-f]{64}$/);
    expect(plain).not.toBe(match);
    expect(parseTokenizer(bytes, 'y').fingerprint).toBe(plain);
  });

  it('a vocabulary too large for the kernel is encoded in TypeScript', () => {
    const vocab = Object.fromEntries(CODE_POINT_OF_BYTE.map((point, byte) => [String.fromCodePoint(point), byte]));
    const model = { type: 'BPE', vocab: { ...vocab, ab: 2_000_000 }, merges: ['a b'] };
    const tokenizer = parseTokenizer({ pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false }, model }, 'large');
    expect(tokenizer.path).toBe('reference');
    expect(Array.from(tokenizer.encode('ab ba'))).toEqual([2_000_000, 32, 98, 97]);
  });

  it('says why it takes the slow path', () => {
    const words = {
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: { type: 'WhitespaceSplit' },
      post_processor: null,
      decoder: null,
      model: { type: 'WordLevel', vocab: { a: 0, b: 1, '[UNK]': 2 }, unk_token: '[UNK]' },
    };
    const tokenizer = parseTokenizer(words, 'words');
    expect([tokenizer.path, tokenizer.slowReason]).toEqual(['hugging-face', 'its model is WordLevel']);
    expect(Array.from(tokenizer.encode('b a'))).toEqual([1, 0]);
    // never a made-up id for what the package has none for
    expect(() => tokenizer.encode('b a c')).toThrow(expect.objectContaining({ code: 'TOKENIZER_INVALID' }));
  });

  it('a pattern that cannot be compiled exactly takes the slow path', () => {
    const json = JSON.parse(bytes.toString('utf8')) as { pre_tokenizer: unknown };
    const split = { type: 'Split', pattern: { Regex: String.raw`(?<=a)b|\p{L}+` }, behavior: 'Isolated', invert: false };
    json.pre_tokenizer = { type: 'Sequence', pretokenizers: [split, { type: 'ByteLevel', add_prefix_space: false, use_regex: false }] };
    const { path: taken, slowReason } = parseTokenizer(json, 'gpt2');
    expect([taken, slowReason]).toEqual(['hugging-face', expect.stringContaining('look-behind')]);
  });
});

describe('a document', () => {
  it('that is too large is refused by its number', () => {
    const length = LIMITS.documentBytesMax + 1;
    const text = new Uint8Array(length + 1).fill(0x20);
    expect(() => parseTokenizer(bytes, 'gpt2').encodeBatch(text, Int32Array.of(0, 2, length + 1))).not.toThrow();
    expect(() => parseTokenizer(bytes, 'gpt2').encodeBatch(text, Int32Array.of(0, 0, length + 1))).toThrow(
      expect.objectContaining({ code: 'BAD_ROW', detail: { document: 1, bytes: length + 1, bytesMax: LIMITS.documentBytesMax } }),
    );
  });

  it('that is no valid UTF-8 is read with U+FFFD in the places that are not, and its neighbours as they are', () => {
    const gpt2 = parseTokenizer(bytes, 'gpt2');
    const parts = [Buffer.from('a\u00e9'), Buffer.from([0x61, 0xff, 0xe2, 0x82]), Buffer.from('\u20ac b')];
    const bounds = Int32Array.of(0, 3, 7, 12);
    const expected = ['a\u00e9', 'a\ufffd\ufffd', '\u20ac b'].map((text) => Array.from(gpt2.encode(text)));
    const { ids, bounds: idBounds } = gpt2.encodeBatch(Buffer.concat(parts), bounds);
    expect([0, 1, 2].map((i) => Array.from(ids.subarray(idBounds[i], idBounds[i + 1])))).toEqual(expected);
  });
});

describe('the kernel', () => {
  it('gives the ids of the plain TypeScript that it is held to, on any text and on any cut of it', () => {
    const scanned = scanTokenizerJson(bytes)!;
    const compiled = compileBpe(JSON.parse(scanned.rest) as TokenizerJson, scanned, { specialTokens: 'match' });
    const reference = createReferenceEncoder(compiled);
    const kernel = parseTokenizer(bytes, 'gpt2', { specialTokens: 'match' });
    const texts = sampleDocuments(300).flatMap(({ text }, i) => [text, text.slice(i), text.toUpperCase(), `${text}<|endoftext|>  ${text}`]);
    const { text, bounds } = concatenated([...texts, '', 'é'.repeat(5000), ' '.repeat(3000), 'x'.repeat(70_000)]);
    const expected = reference.encodeBatch(text, bounds);
    const actual = kernel.encodeBatch(text, bounds);
    expect(actual.bounds).toEqual(expected.bounds);
    expect(Buffer.from(actual.ids.slice().buffer).equals(Buffer.from(expected.ids.slice().buffer))).toBe(true);
  });

  it.each(['NFC', 'NFKC'])(
    'sees when a text is not in its form %s, and changes it as the plain TypeScript does, which always does',
    (type) => {
      const json = { ...(JSON.parse(bytes.toString('utf8')) as TokenizerJson), normalizer: { type } };
      const kernel = parseTokenizer(json, 'gpt2');
      const scanned = scanTokenizerJson(Buffer.from(JSON.stringify(json)))!;
      const reference = createReferenceEncoder(compileBpe(JSON.parse(scanned.rest) as TokenizerJson, scanned, { specialTokens: 'plain' }));
      // composites of one and two marks, their letters, marks that compose, that only move, and that never move; Hangul; compatibility; ASCII between
      const alphabet = Array.from('aeoGê\u00e9\u1ebf\u0120\u01d5\u1e69\u0928\u0929\u09c7\u09cb\u1100\uac00\uac01\u212b\ufb01 x');
      const marks = Array.from(
        '\u0301\u0302\u0307\u0323\u0327\u0328\u0308\u0304\u0345\u0334\u093c\u094d\u09be\u09d7\u0e48\u05b0\u1161\u11a8\u20dd',
      );
      const character = fc.oneof(fc.constantFrom(...alphabet), fc.constantFrom(...marks));
      const property = fc.property(fc.array(fc.string({ unit: character, maxLength: 8 }), { minLength: 1, maxLength: 20 }), (texts) => {
        const { text, bounds } = concatenated(texts);
        const expected = Array.from(reference.encodeBatch(text, bounds).ids);
        expect(Array.from(kernel.encodeBatch(text, bounds).ids)).toEqual(expected);
      });
      fc.assert(property, { numRuns: 2000, seed: 7 });
    },
  );

  it('has room for the space that comes before each segment between added tokens', () => {
    const bytesOfFallback = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
    const vocab = Object.fromEntries([...bytesOfFallback, '▁', 'a', '<unk>'].map((token, id) => [token, id]));
    const json = {
      added_tokens: [{ id: 259, content: 'x', special: false, normalized: false, lstrip: false, rstrip: false, single_word: false }],
      normalizer: null,
      pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
      model: { type: 'BPE', vocab, merges: [], byte_fallback: true, unk_token: '<unk>' },
    };
    const kernel = parseTokenizer(json, 'small');
    expect(kernel.path).toBe('kernel');
    // three ids of two bytes, in documents as long as what the kernel gets at once
    const { text, bounds } = concatenated(['xa'.repeat(2 ** 17), 'a', 'xa'.repeat(2 ** 17)]);
    const { ids, bounds: idBounds } = kernel.encodeBatch(text, bounds);
    const long = Array.from({ length: 2 ** 17 }, () => [259, 256, 257]).flat();
    expect(Array.from(idBounds)).toEqual([0, long.length, long.length + 2, 2 * long.length + 2]);
    expect(Buffer.from(ids.slice().buffer).equals(Buffer.from(Int32Array.from([...long, 256, 257, ...long]).buffer))).toBe(true);
  });

  it('keeps its statics below the tables', () => {
    const { heapStart } = loadKernel('bpe', createSharedMemory(1)) as { heapStart: () => number };
    expect(heapStart()).toBeLessThanOrEqual(TABLES_START);
  });

  it('merges a word of 4 MB, which wants more memory than any before it', () => {
    const letters = 'x'.repeat(2 ** 22);
    const ids = parseTokenizer(bytes, 'gpt2').encode(letters);
    const sixteen = parseTokenizer(bytes, 'gpt2').encode('x'.repeat(16));
    expect(new Set(ids)).toEqual(new Set(sixteen));
    expect(ids.length).toBe((sixteen.length * letters.length) / 16);
  });
});
