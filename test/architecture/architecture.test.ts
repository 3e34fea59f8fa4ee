import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { configurationReference } from '../../src/config/reference.js';
import { ERROR_CODES } from '../../src/core/errors.js';
import * as exported from '../../src/index.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const read = (file: string): string => readFileSync(path.join(ROOT, file), 'utf8');

function filesBelow(dir: string, ending: string): string[] {
  return readdirSync(path.join(ROOT, dir), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(ending))
    .map((entry) => path.relative(ROOT, path.join(entry.parentPath, entry.name)));
}

/** Who may import whom: a layer imports itself, and what is listed. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: [],
  // what Node's own calls for local files get wrong
  files: [],
  config: ['core'],
  cache: ['core', 'config', 'files'],
  store: ['core', 'config', 'cache'],
  manifest: ['core', 'config', 'files', 'store'],
  decode: ['core', 'config', 'store'],
  plan: ['core', 'config'],
  // which rows of a source a stream takes
  select: ['core', 'config', 'store'],
  tokenize: ['core', 'config'],
  pack: ['core', 'config'],
  chat: ['core', 'config', 'tokenize'],
  transform: ['core', 'config'],
  batch: ['core', 'config'],
  wire: ['core', 'config'],
  run: ['core', 'config', 'files', 'plan'],
  ledger: ['core', 'config', 'files', 'plan'],
  // what moves between the stages: it joins them for pipeline.ts
  stream: ['core', 'config', 'store', 'manifest', 'decode', 'plan', 'select', 'tokenize', 'pack', 'batch', 'chat', 'transform'],
  client: ['core', 'config', 'plan', 'select', 'wire', 'stream'],
  manifests: ['core', 'config', 'store', 'manifest', 'decode', 'select'],
  chats: ['core', 'config', 'store', 'stream', 'tokenize', 'chat'],
  transforms: ['core', 'config', 'store', 'transform'],
  tokenizers: ['core', 'config', 'store', 'select', 'stream', 'tokenize'],
  planning: ['core', 'config', 'manifest', 'plan', 'select', 'stream'],
  pipeline: [
    'core',
    'config',
    'cache',
    'store',
    'manifest',
    'decode',
    'plan',
    'select',
    'tokenize',
    'pack',
    'batch',
    'run',
    'ledger',
    'stream',
    'manifests',
    'planning',
    'chats',
    'transforms',
    'tokenizers',
  ],
  auditing: ['core', 'config', 'store', 'manifest', 'decode', 'plan', 'ledger', 'stream', 'manifests', 'planning', 'pipeline'],
  warming: [
    'core',
    'config',
    'cache',
    'store',
    'decode',
    'plan',
    'select',
    'stream',
    'manifests',
    'planning',
    'tokenizers',
    'warming-windows',
  ],
  'warming-windows': ['core', 'config', 'cache', 'decode', 'plan', 'stream', 'planning'],
  'inspection-advice': ['core', 'config', 'decode', 'inspecting'],
  inspecting: ['core', 'config', 'store', 'manifest', 'decode', 'inspection-advice'],
  measuring: ['core', 'config', 'store', 'stream', 'planning', 'pipeline'],
  indexing: ['core', 'config', 'store', 'manifest', 'decode', 'manifests'],
  'open-tokenizer': ['core', 'config', 'cache', 'store', 'tokenize'],
  showing: ['core', 'config', 'plan', 'tokenize', 'pack', 'stream', 'pipeline', 'open-tokenizer'],
  comparing: ['core', 'config', 'plan', 'run', 'pipeline'],
  index: ['core', 'config', 'store', 'plan', 'tokenize', 'batch', 'stream', 'client', 'pipeline', 'open-tokenizer', 'showing'],
};

/** Interfaces that stages share: types only. */
const INTERFACES = new Set(['src/store/store.ts', 'src/decode/decoder.ts', 'src/tokenize/tokenizer.ts', 'src/pack/packer.ts']);

function layerOf(file: string): string {
  const [, first] = file.split(path.sep);
  return first.replace(/\.ts$/, '');
}

describe('the architecture', () => {
  const sources = [...filesBelow('src', '.ts'), ...filesBelow('sidecar', '.ts')];

  it('imports point one way', () => {
    const wrong: string[] = [];
    for (const file of sources.filter((source) => source.startsWith('src'))) {
      const layer = layerOf(file);
      expect(Object.keys(MAY_IMPORT), `${file} is in a folder that this test does not know`).toContain(layer);
      for (const [, imported] of read(file).matchAll(/from '(\.[^']+)'/g)) {
        const target = path.join(path.dirname(file), imported).replace(/\.js$/, '.ts');
        const allowed = layerOf(target) === layer || MAY_IMPORT[layer].includes(layerOf(target)) || INTERFACES.has(target);
        if (!allowed) wrong.push(`${file} → ${target}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('the sidecar is imported by nobody', () => {
    expect(sources.filter((file) => file.startsWith('src') && /from '[^']*sidecar/.test(read(file)))).toEqual([]);
  });

  it('core and plan do no I/O, and read no clock', () => {
    const forbidden = /node:(fs|net|http|https|child_process|worker_threads)|Date\.now|Math\.random/;
    const exempt = new Set(['src/core/version.ts', 'src/core/kernel.ts']); // read the package's own version
    expect(sources.filter((file) => /^src\/(core|plan)\//.test(file) && !exempt.has(file) && forbidden.test(read(file)))).toEqual([]);
  });

  it('the SDKs of object stores are loaded by the first request that needs them', () => {
    const loading = /^import (?!type\b)[^;]*from '(?:@aws-sdk|@smithy|@azure|google-auth-library)/m;
    expect(sources.filter((file) => loading.test(read(file)))).toEqual([]);
  });

  it('every file opens with a sentence that says what it is', () => {
    const silent = sources.filter((file) => !/^(#!.*\n)?\/\*\*/.test(read(file)));
    expect(silent).toEqual([]);
  });

  it('no file has a name that says nothing', () => {
    expect(sources.filter((file) => /(utils?|helpers?|common|manager)\.ts$/.test(file))).toEqual([]);
  });

  it('docs/errors.md has exactly the codes that exist', () => {
    const documented = [...read('docs/errors.md').matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, code]) => code);
    expect(documented).toEqual([...ERROR_CODES]);
  });

  it('every code is thrown somewhere', () => {
    const text = [...sources.filter((file) => file !== 'src/core/errors.ts'), ...filesBelow('python/src', '.py')].map(read).join('\n');
    expect(ERROR_CODES.filter((code) => code !== 'INTERNAL' && !new RegExp(`['"]${code}['"]`).test(text))).toEqual([]);
  });

  it('docs/configuration.md is what the schema says (npm run docs)', () => {
    expect(read('docs/configuration.md')).toBe(configurationReference());
  });

  it('the public exports are these', () => {
    expect(Object.keys(exported).sort()).toEqual([
      'ERROR_CODES',
      'HeadraceError',
      'changeMixture',
      'connect',
      'fieldOfRow',
      'fileStore',
      'labelsOf',
      'loadConfig',
      'loadTokenizer',
      'memoryStore',
      'mergeCursors',
      'openPipeline',
      'parseConfig',
      'parseCursor',
      'parseTokenizer',
      'positionIdsOf',
      's3Store',
      'showStep',
    ]);
  });

  it('both packages have one version', () => {
    const { version } = JSON.parse(read('package.json')) as { version: string };
    expect(read('python/src/headrace/version.py')).toContain(`"${version}"`);
    expect(read('python/pyproject.toml')).toContain(`version = "${version}"`);
  });

  it('the links of the documentation lead somewhere', () => {
    const broken: string[] = [];
    for (const file of ['README.md', 'CHANGELOG.md', 'python/README.md', ...filesBelow('docs', '.md')]) {
      for (const [, target] of read(file).matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)) {
        try {
          readFileSync(path.join(ROOT, path.dirname(file), target));
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EISDIR') broken.push(`${file}: ${target}`);
        }
      }
    }
    expect(broken).toEqual([]);
  });
});
