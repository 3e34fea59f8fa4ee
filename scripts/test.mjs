/**
 * `npm test`: sets up what it needs and runs every check there is. In CI a missing part is a failure; elsewhere it is skipped, and said.
 *
 *   packages, build │ tokenizers │ Python       beside each other, where they are not there yet
 *   lint │ types, format, the checks of Python  beside each other: each of them has one thread
 *   the TypeScript tests                        alone: they have as many processes as there is room for
 */
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { ensureFakeGcs, ensureMinio } from './minio.mjs';
import { ensurePython } from './python.mjs';
import { COMMAND, ROOT, run, runBeside, setup, toolCommand } from './setup.mjs';
import { ensureTokenizers } from './tokenizers.mjs';

const inCi = process.env.CI === 'true';
const results = [];
const skipped = [];

/** Runs a check; `isAlone`: what it writes is seen as it comes. */
async function step(name, [command, args, options], isAlone = false) {
  if (isAlone) console.log(`\n── ${name}`);
  const started = Date.now();
  const { passed, output } = isAlone ? runAlone(command, args, options) : await runBeside(command, args, options);
  results.push({ name, passed });
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  console.log(`${isAlone ? '' : `\n── ${name}\n${output}`}── ${name}: ${passed ? 'passed' : 'FAILED'} in ${seconds} s`);
}

function runAlone(command, args, options) {
  try {
    run(command, args, options);
    return { passed: true };
  } catch (error) {
    if (error.status === undefined) console.error(error);
    return { passed: false };
  }
}

/** Checks one after another. */
async function inTurn(checks) {
  for (const [name, command] of checks) await step(name, command);
}

/** A function of a module here, in a process of its own. What it could not do is tried again, and told, by who needs it. */
function prepare(module, name, ...args) {
  const url = pathToFileURL(path.join(import.meta.dirname, module)).href;
  const program = `const { ${name} } = await import(${JSON.stringify(url)}); await ${name}(...${JSON.stringify(args)});`;
  return runBeside(process.execPath, ['--input-type=module', '--eval', program]);
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

console.log('setting up …');
const [packages] = await Promise.all([
  prepare('setup.mjs', 'setup'),
  prepare('tokenizers.mjs', 'ensureTokenizers'),
  prepare('python.mjs', 'ensurePython', 'test'),
]);
if (!packages.passed) await setup();
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
  HEADRACE_COMMAND: `${process.execPath} ${COMMAND}`,
  HEADRACE_TEST_TOKENIZER: path.join(ROOT, 'node_modules', '@lenml', 'tokenizer-gpt2', 'models', 'tokenizer.json'),
};

const inPython = { cwd: path.join(ROOT, 'python'), env };
const ofPython = [
  ['Python lint', [python, ['-m', 'ruff', 'check', '.'], inPython]],
  ['Python format', [python, ['-m', 'ruff', 'format', '--check', '.'], inPython]],
  ['Python types', [python, ['-m', 'mypy'], inPython]],
  ['Python tests', [python, ['-m', 'pytest', '-q'], inPython]],
];
await Promise.all([
  inTurn([['lint', toolCommand('eslint', ['.'])]]),
  inTurn([
    ['types', toolCommand('tsc', ['--noEmit'])],
    ['format', toolCommand('prettier', ['--check', '--log-level', 'warn', '.'])],
    ...(python === undefined ? [] : ofPython),
  ]),
]);
await step('TypeScript tests', [...toolCommand('vitest', ['run']), { env }], true);

const failed = results.filter((result) => !result.passed);
console.log(`\n${results.map(({ name, passed }) => `${passed ? '✓' : '✗'} ${name}`).join('\n')}`);
for (const line of skipped) console.log(`SKIPPED ${line}`);
console.log(`\nsteps: ${results.length - failed.length} passed, ${failed.length} failed`);
process.exitCode = failed.length === 0 ? 0 : 1;
