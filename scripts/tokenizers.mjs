/** Installs the tokenizers that tests and benchmarks compare with the reference: a package of its own, because nobody else needs its gigabyte. */
import { existsSync, statSync } from 'node:fs';
import path from 'node:path';
import { ROOT, run } from './setup.mjs';

const DIR = path.join(ROOT, 'test', 'tokenizers');

export function ensureTokenizers() {
  const installed = path.join(DIR, 'node_modules', '.package-lock.json');
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(path.join(DIR, 'package-lock.json')).mtimeMs) return;
  console.log('installing the tokenizers of the comparisons …');
  run(process.platform === 'win32' ? 'npm.cmd' : 'npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: DIR });
}
