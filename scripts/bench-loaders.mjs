/** What the end-to-end benchmark compares with: pinned loaders of PyPI, in an environment outside the checkout. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { run } from './setup.mjs';

const CACHE = path.join(process.env.XDG_CACHE_HOME || path.join(homedir(), '.cache'), 'headrace-bench');

/** pip's own settings apply: an index of CPU wheels makes torch 5 GB smaller. */
const WHOLE = [
  'torch==2.15.0',
  'numpy==2.4.6',
  'pyarrow==26.0.1',
  'tokenizers==0.23.3',
  'fastokens==0.3.5',
  'datasets==5.2.0',
  's3fs==2026.9.0',
  'webdataset==1.0.2',
  'litdata==0.2.76',
  'grain==0.2.18',
  'ray[data]==2.60.0',
  'pyzmq==27.3.0',
];
/** Without what it drags in and a text stream of S3 never needs (transformers, torchvision, SDKs of other clouds), but with what it imports. */
const BARE = ['mosaicml-streaming==0.13.0', 'catalogue==2.0.10'];
const BARE_NEEDS = ['boto3==1.43.117', 'Brotli==1.2.1', 'xxhash==4.1.0', 'python-snappy==0.7.3', 'zstd==1.5.7.2'];

/** `{cache, python}`; null where there is no Python 3.10 or newer. */
export function ensureLoaders() {
  const usable = spawnSync('python3', ['-c', 'import sys, venv; sys.exit(sys.version_info < (3, 10))']).status === 0;
  if (!usable) return null;
  mkdirSync(CACHE, { recursive: true });
  const venv = path.join(CACHE, 'loaders');
  const python = path.join(venv, 'bin', 'python');
  const stamp = path.join(CACHE, '.installed-loaders');
  const wanted = createHash('sha256')
    .update(JSON.stringify([WHOLE, BARE, BARE_NEEDS]))
    .digest('hex');
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted) {
    console.log(`installing ${[...WHOLE, ...BARE].join(', ')} (some minutes, and 6 GB where torch comes with CUDA) …`);
    if (!existsSync(python)) run('python3', ['-m', 'venv', venv]);
    const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check'];
    run(python, [...install, ...WHOLE]);
    run(python, [...install, '--no-deps', ...BARE]);
    run(python, [...install, ...BARE_NEEDS]);
    // torch imports it only to compile
    run(python, ['-m', 'pip', 'uninstall', '--quiet', '--yes', 'triton']);
    writeFileSync(stamp, wanted);
  }
  return { cache: CACHE, python };
}
