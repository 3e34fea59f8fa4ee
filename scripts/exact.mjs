/**
 * `npm run check:tokenizers [-- OPTIONS]`: compares the ids of every tokenizer file with those of the Python package tokenizers, on all corpora.
 *   --tokenizer NAME,…   some of the files: gpt2, llama3 …            --megabytes N   of prose and code (52)
 *   --corpus NAME,…      some of the corpora; -NAME leaves one out    --strings N     random strings a tokenizer (200000)
 *   --reports N          differences shown, a corpus (3)              --seed S        of the random corpora
 *   --quick              only the share that npm test compares
 */
import path from 'node:path';
import { ensurePython } from './python.mjs';
import { ROOT, run, setup } from './setup.mjs';
import { ensureTokenizers } from './tokenizers.mjs';

await setup();
ensureTokenizers();
const python = ensurePython('test');
if (python === null) {
  console.error('python3 (3.9 or newer, with venv) is needed: the reference is the Python package tokenizers');
  process.exit(1);
}
try {
  run(process.execPath, [path.join(ROOT, 'dist', 'test', 'tokenize', 'check.js'), ...process.argv.slice(2)], {
    env: { ...process.env, HEADRACE_PYTHON: python },
  });
} catch (error) {
  process.exitCode = error.status ?? 1;
}
