/** The whole proof, without a test runner: every corpus through every tokenizer and the Python package, as a table. Run by scripts/exact.mjs. */
import { parseArgs } from 'node:util';
import { ownCorpora, selectCorpora, sharedCorpora, testShare, wholeShare } from './corpora.js';
import { checkCorpus, type Subject } from './exactness.js';
import { openReference } from './reference.js';
import { createTokenizer, readTokenizerFile, tokenizerNames } from './tokenizers.js';

const { values } = parseArgs({
  options: {
    tokenizer: { type: 'string' },
    corpus: { type: 'string' },
    megabytes: { type: 'string', default: '52' },
    strings: { type: 'string', default: '200000' },
    quick: { type: 'boolean', default: false },
    seed: { type: 'string', default: '4' },
    reports: { type: 'string', default: '3' },
  },
});
const python = process.env.HEADRACE_PYTHON;
if (python === undefined) throw new Error('HEADRACE_PYTHON does not name an interpreter that has the package tokenizers');

const seed = Number(values.seed);
const share = values.quick ? testShare(seed) : wholeShare(seed, Number(values.megabytes), Number(values.strings));
const shared = sharedCorpora(share);
const total = { documents: 0, bytes: 0, mismatches: 0, failures: 0 };
const started = Date.now();

function line(...columns: readonly (string | number)[]): string {
  const [tokenizer, corpus, special, ...numbers] = columns.map((column) =>
    typeof column === 'number' ? column.toLocaleString('en') : column,
  );
  return [tokenizer.padEnd(12), corpus.padEnd(27), special.padEnd(8), ...numbers.map((column) => column.padStart(13))].join(' ');
}

for (const [i, name] of tokenizerNames(values.tokenizer).entries()) {
  const file = readTokenizerFile(name);
  const reference = await openReference(python, file);
  if (i === 0) {
    console.log(`tokenizers ${reference.version} (Python), seed ${seed}\n`);
    console.log(line('tokenizer', 'corpus', 'special', 'documents', 'bytes', 'mismatches'));
  }
  const products = { plain: createTokenizer(file, 'plain'), match: createTokenizer(file, 'match') };
  const subject: Subject = { file, reference, product: (special) => products[special] };
  try {
    for (const corpus of selectCorpora([...shared, ...ownCorpora(share, file)], values.corpus)) {
      for (const special of corpus.special) {
        try {
          const { documents, bytes, mismatches, reports } = await checkCorpus(subject, {
            corpus,
            special,
            seed,
            reportsMax: Number(values.reports),
          });
          console.log(line(name, corpus.name, special, documents, bytes, mismatches));
          for (const report of reports) console.log(`\n${report}\n`);
          total.documents += documents;
          total.bytes += bytes;
          total.mismatches += mismatches;
        } catch (error) {
          total.failures++;
          console.log(line(name, corpus.name, special, '', '', 'FAILED'), '\n', error);
        }
      }
    }
  } finally {
    await reference.close();
  }
}
console.log(line('all', '', '', total.documents, total.bytes, total.mismatches));
console.log(`${((Date.now() - started) / 1000).toFixed(0)} s; ${total.failures} corpora could not be compared`);
process.exitCode = total.mismatches + total.failures === 0 ? 0 : 1;
