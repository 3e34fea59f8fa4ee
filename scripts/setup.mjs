/** What every command of the repository needs first: installed packages and a fresh build. Does nothing that is done already. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundle } from './bundle.mjs';

export const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

const KERNELS = path.join(ROOT, 'kernels');
/** A kernel that worker threads share imports its memory: of 4 GiB at most, which is what 32 bits address. */
const SHARED = ['--enable', 'threads', '--importMemory', '--sharedMemory', '--maximumMemory', '65536'];
const KERNEL_OPTIONS = { 'bpe.ts': SHARED };
/** What `headrace` runs. */
export const COMMAND = path.join(ROOT, 'dist', 'command', 'headrace.js');
const BUILT = path.join(ROOT, 'dist', 'kernels');

/** Runs a command in the repository's root; throws when it fails. */
export function run(command, args, options = {}) {
  execFileSync(command, args, { cwd: ROOT, stdio: 'inherit', ...options });
}

/** Runs one of the installed development tools. */
export function runTool(name, args, options = {}) {
  run(...toolCommand(name, args), options);
}

/** The command and the arguments that run an installed development tool. */
export function toolCommand(name, args) {
  return [process.execPath, [path.join(ROOT, 'node_modules', toolScript(name)), ...args]];
}

/** Runs a command beside others: resolves when it has ended, with what it wrote, its errors among it. */
export function runBeside(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: ROOT, ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    const output = [];
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => output.push(chunk));
    child.once('error', reject);
    child.once('close', (status) => resolve({ passed: status === 0, output: Buffer.concat(output).toString() }));
  });
}

function toolScript(name) {
  return {
    asc: 'assemblyscript/bin/asc.js',
    tsc: 'typescript/bin/tsc',
    eslint: 'eslint/bin/eslint.js',
    prettier: 'prettier/bin/prettier.cjs',
    vitest: 'vitest/vitest.mjs',
  }[name];
}

export async function setup() {
  const installed = path.join(ROOT, 'node_modules', '.package-lock.json');
  const lock = path.join(ROOT, 'package-lock.json');
  if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(lock).mtimeMs) {
    console.log('installing packages …');
    run(process.platform === 'win32' ? 'npm.cmd' : 'npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
  }
  await build();
}

/** The WebAssembly kernels (AssemblyScript) that are older than their sources, then the TypeScript, and the command of it. */
export async function build() {
  mkdirSync(BUILT, { recursive: true });
  const sources = readdirSync(KERNELS).filter((file) => file.endsWith('.ts'));
  const newest = Math.max(...sources.map((file) => statSync(path.join(KERNELS, file)).mtimeMs));
  for (const source of sources) {
    const target = path.join(BUILT, source.replace(/ts$/, 'wasm'));
    if ((statSync(target, { throwIfNoEntry: false })?.mtimeMs ?? 0) > newest) continue;
    // no runtime: a kernel allocates nothing, its caller lays out the memory; no assertions: its bounds are checks that answer a status
    runTool('asc', [
      path.join(KERNELS, source),
      '-O3',
      '--noAssert',
      '--runtime',
      'stub',
      '--enable',
      'simd',
      '--enable',
      'bulk-memory',
      ...(KERNEL_OPTIONS[source] ?? []),
      '-o',
      target,
    ]);
  }
  runTool('tsc', ['-p', 'tsconfig.build.json', '--incremental', '--tsBuildInfoFile', 'dist/.tsbuildinfo']);
  await bundle(ROOT);
}
