import { describe, expect, it } from 'vitest';
import type { TokenizedDocuments, Tokenizer } from '../../src/tokenize/tokenizer.js';
import { differingDocuments } from './comparison.js';
import { packDocuments } from './documents.js';
import { checkCorpus, type Subject } from './exactness.js';
import type { TokenizerFile } from './tokenizers.js';

/** The proof is only worth what it notices: here it is given answers that are wrong in every way. */

function answer(...documents: readonly number[][]): TokenizedDocuments {
  const bounds = [0];
  for (const ids of documents) bounds.push(bounds[bounds.length - 1] + ids.length);
  return { ids: Int32Array.from(documents.flat()), bounds: Int32Array.from(bounds) };
}

const file: TokenizerFile = { name: 'letters', path: '', added: [], byteLevel: true, tokens: ['a', 'b', 'c', 'Ġ'] };
const documents = packDocuments(['ab c', '', 'caa']);
const right = answer([0, 1, 3, 2], [], [2, 0, 0]);

function check(encodeBatch: Tokenizer['encodeBatch']): ReturnType<typeof checkCorpus> {
  const subject: Subject = {
    file,
    product: () => ({ encodeBatch }),
    reference: { version: '', encode: () => Promise.resolve({ answer: Promise.resolve(right) }), close: () => Promise.resolve() },
  };
  const corpus = { name: 'few', special: ['plain'], parts: () => [documents, documents] } as const;
  return checkCorpus(subject, { corpus, special: 'plain', seed: 7, reportsMax: 1 });
}

describe('the comparison of ids', () => {
  it.each([
    ['an id that differs', answer([0, 1, 3, 2], [], [2, 1, 0]), [2]],
    ['a token too many', answer([0, 1, 3, 2, 2], [], [2, 0, 0]), [0]],
    ['a token too few', answer([0, 1, 3, 2], [], [2, 0]), [2]],
    ['tokens of an empty document', answer([0, 1, 3, 2], [2], [2, 0, 0]), [1]],
    ['the right ids with other bounds', answer([0, 1, 3], [2], [2, 0, 0]), [0, 1]],
    ['nothing', answer([], [], []), [0, 2]],
  ])('notices %s', (_, actual, differing) => {
    expect(differingDocuments({ expected: right, actual: right })).toEqual([]);
    expect(differingDocuments({ expected: right, actual })).toEqual(differing);
  });

  it('notices documents that are missing, ids beyond the last bound, and bounds that start late', () => {
    expect(() => differingDocuments({ expected: right, actual: answer([0, 1, 3, 2], []) })).toThrow('2 documents came back, not 3');
    expect(() => differingDocuments({ expected: right, actual: { ...right, ids: new Int32Array(9) } })).toThrow('and there are 9 ids');
    const bounds = right.bounds.map((bound) => bound + 1);
    expect(() => differingDocuments({ expected: right, actual: { ids: new Int32Array(8), bounds } })).toThrow('go from 1 to 8');
  });

  it('names the tokenizer, corpus, seed, document, place in the text and tokens', async () => {
    const { reports, ...counts } = await check(() => answer([0, 1, 3, 0, 1], [], [2, 0, 1]));
    expect(counts).toEqual({ documents: 6, bytes: 14, mismatches: 4 });
    expect(reports).toEqual([
      [
        'letters · few · special tokens as text · seed 7 · document 0',
        'document of 4 bytes, from byte 0: "ab " │ "c"',
        '  token 3 differs; from token 0 on',
        '  expected (4 tokens): 0 "a" 1 "b" 3 "Ġ" 2 "c"',
        '  actual   (5 tokens): 0 "a" 1 "b" 3 "Ġ" 0 "a" 1 "b"',
        '  bytes: 61622063',
      ].join('\n'),
    ]);
    expect((await check(() => right)).mismatches).toBe(0);
  });

  it('names the document at which the product throws', async () => {
    const throwing: Tokenizer['encodeBatch'] = (bytes, bounds) => {
      if ((bounds[0] < bounds[1] && bytes[bounds[0]] === 0x63) || bounds.length === 4) throw new Error('a defect');
      return right;
    };
    await expect(check(throwing)).rejects.toThrow('letters · few · special tokens as text · seed 7 · document 2: the product threw');
  });
});
