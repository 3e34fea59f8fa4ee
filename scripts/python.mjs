/** The virtual environment of the Python client and of the reference implementations that tests compare with: made in the checkout, from python/pyproject.toml. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { ROOT, run } from './setup.mjs';

const ENVIRONMENT = path.join(ROOT, '.venv');

/** The environment's interpreter; null where there is no Python 3.9 or newer. `extra` is an optional dependency of pyproject.toml. */
export function ensurePython(extra) {
  const usable = spawnSync('python3', ['-c', 'import sys, venv; sys.exit(sys.version_info < (3, 9))']).status === 0;
  if (!usable) return null;
  const python = path.join(ENVIRONMENT, 'bin', 'python');
  const stamp = path.join(ENVIRONMENT, `.installed-${extra}`);
  const wanted = createHash('sha256')
    .update(readFileSync(path.join(ROOT, 'python', 'pyproject.toml')))
    .digest('hex');
  if (existsSync(python) && existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return python;
  console.log('making the Python environment …');
  if (!existsSync(python)) run('python3', ['-m', 'venv', ENVIRONMENT]);
  const requirement = extra === '' ? './python' : `./python[${extra}]`;
  run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--editable', requirement]);
  writeFileSync(stamp, wanted);
  return python;
}
