/** `npm test`: sets up what it needs and runs every check there is. In CI a missing part is a failure; elsewhere it is skipped, and said. */
import path from 'node:path';
import { ensureFakeGcs, ensureMinio } from './minio.mjs';
import { ensurePython } from './python.mjs';
import { ROOT, run, runTool, setup } from './setup.mjs';
import { ensureTokenizers } from './tokenizers.mjs';

const inCi = process.env.CI === 'true';
const results = [];
const skipped = [];

function step(name, work) {
  console.log(`\n── ${name}`);
  const started = Date.now();
  try {
    work();
    results.push({ name, passed: true });
  } catch (error) {
    if (error.status === undefined) console.error(error);
    results.push({ name, passed: false });
  }
  console.log(`── ${name}: ${results.at(-1).passed ? 'passed' : 'FAILED'} in ${((Date.now() - started) / 1000).toFixed(1)} s`);
}

function need(name, value, consequence) {
  if (value !== null) return value;
  if (inCi) {
    console.error(`${name} is missing, and CI must not pass without it`);
    process.exit(1);
  }
  skipped.push(`${name} is missing: ${consequence}`);
  return undefined;
}

setup();
ensureTokenizers();
const python = need(
  'python3',
  ensurePython('test'),
  "the Python client's tests, and the comparisons with pyarrow and tokenizers, were not run",
);
const minio = need('MinIO', ensureMinio(), 'the tests against a real S3 server were not run');
const fakeGcs = need('fake-gcs-server', ensureFakeGcs(), 'the tests against a server of Google Cloud Storage were not run');
const env = {
  ...process.env,
  ...(python && { HEADRACE_PYTHON: python }),
  ...(minio && { HEADRACE_MINIO: minio }),
  ...(fakeGcs && { HEADRACE_FAKE_GCS: fakeGcs }),
  HEADRACE_COMMAND: `${process.execPath} ${path.join(ROOT, 'dist', 'sidecar', 'cli.js')}`,
  HEADRACE_TEST_TOKENIZER: path.join(ROOT, 'node_modules', '@lenml', 'tokenizer-gpt2', 'models', 'tokenizer.json'),
};

step('types', () => runTool('tsc', ['--noEmit']));
step('lint', () => runTool('eslint', ['.']));
step('format', () => runTool('prettier', ['--check', '--log-level', 'warn', '.']));
step('TypeScript tests', () => runTool('vitest', ['run'], { env }));
if (python) {
  const inPython = { cwd: path.join(ROOT, 'python'), env };
  step('Python lint', () => run(python, ['-m', 'ruff', 'check', '.'], inPython));
  step('Python format', () => run(python, ['-m', 'ruff', 'format', '--check', '.'], inPython));
  step('Python types', () => run(python, ['-m', 'mypy'], inPython));
  step('Python tests', () => run(python, ['-m', 'pytest', '-q'], inPython));
}

const failed = results.filter((result) => !result.passed);
console.log(`\n${results.map(({ name, passed }) => `${passed ? '✓' : '✗'} ${name}`).join('\n')}`);
for (const line of skipped) console.log(`SKIPPED ${line}`);
console.log(`\nsteps: ${results.length - failed.length} passed, ${failed.length} failed`);
process.exitCode = failed.length === 0 ? 0 : 1;
