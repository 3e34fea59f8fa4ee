import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Tokenizer } from '../../src/tokenize/tokenizer.js';
import { ownCorpora, selectCorpora, sharedCorpora, testShare } from './corpora.js';
import { checkCorpus, type Corpus, type Subject } from './exactness.js';
import { openReference } from './reference.js';
import { createTokenizer, readTokenizerFile, tokenizerNames, type SpecialTokens } from './tokenizers.js';

/*
 * A share of what `npm run check:tokenizers` compares. To look closer:
 *   HEADRACE_EXACT           names of tokenizers: gpt2,llama3
 *   HEADRACE_EXACT_CORPORA   names of corpora: whitespace,digits; or of those to leave out: -long-words
 *   HEADRACE_EXACT_SEED      of the random corpora
 */
const PYTHON = process.env.HEADRACE_PYTHON;
const SEED = Number(process.env.HEADRACE_EXACT_SEED ?? 4);
const SELECTED = process.env.HEADRACE_EXACT_CORPORA;

const share = testShare(SEED);
const shared = sharedCorpora(share).map(kept);
const own = ['added-tokens', 'random-strings'];
const names = selectCorpora([...shared, ...own.map((name): Corpus => ({ name, special: ['plain', 'match'], parts: () => [] }))], SELECTED);
const cases = names.flatMap(({ name, special }) => special.map((reading) => [name, reading] as const));

describe.skipIf(PYTHON === undefined).each(tokenizerNames(process.env.HEADRACE_EXACT))(
  '%s gives the ids of the Python package',
  (tokenizer) => {
    let subject: Subject;
    let corpora: readonly Corpus[];

    beforeAll(async () => {
      const file = readTokenizerFile(tokenizer);
      const products = new Map<SpecialTokens, Tokenizer>();
      const product = (special: SpecialTokens): Tokenizer => {
        const made = products.get(special) ?? createTokenizer(file, special);
        products.set(special, made);
        return made;
      };
      subject = { file, product, reference: await openReference(PYTHON!, file) };
      corpora = [...shared, ...ownCorpora(share, file)];
    });
    afterAll(() => subject.reference.close());

    it.each(cases)('%s, special tokens: %s', { timeout: 600_000 }, async (name, special) => {
      const corpus = corpora.find((one) => one.name === name)!;
      const { documents, mismatches, reports } = await checkCorpus(subject, { corpus, special, seed: SEED, reportsMax: 3 });
      expect(documents).toBeGreaterThan(0);
      if (mismatches > 0) expect.fail(`${mismatches} of ${documents} documents differ\n\n${reports.join('\n\n')}\n`);
    });
  },
);

/** The documents are made once, for all tokenizers. */
function kept(corpus: Corpus): Corpus {
  let parts: ReturnType<typeof corpus.parts> | undefined;
  return { ...corpus, parts: () => (parts ??= [...corpus.parts()]) };
}
