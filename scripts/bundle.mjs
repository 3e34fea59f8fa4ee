/**
 * The command line and its threads as few files: a start reads some dozen modules instead of seven hundred, which was half of its time.
 *
 *   sidecar/cli.ts ──┐            headrace.js       ┐
 *   worker-thread.ts ├─ esbuild ─▶ worker-thread.js ├ dist/command, beside the chunks that they share or import when needed
 *   zstd-thread.ts ──┘            zstd-thread.js    ┘
 *
 * All lie in one folder, so that a thread is found beside whoever starts it.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const ENTRIES = {
  headrace: 'sidecar/cli.ts',
  'worker-thread': 'src/stream/worker-thread.ts',
  'zstd-thread': 'src/decode/compressed/zstd-thread.ts',
};

/** Left where they are installed: what has native code or WebAssembly beside it, and what is large and imported by few runs. */
const EXTERNAL = [
  'zeromq',
  '@node-rs/crc32',
  'parquet-wasm',
  'apache-arrow',
  'pino',
  '@aws-sdk/*',
  '@smithy/*',
  '@azure/*',
  'google-auth-library',
];

/** For packages in it that are CommonJS and require a module of Node. */
const REQUIRE =
  "import { createRequire as createRequireOfBundle } from 'node:module'; const require = createRequireOfBundle(import.meta.url);";

/** `root`: the repository, whose packages are installed. */
export async function bundle(root) {
  const { build } = await import('esbuild');
  const folder = path.join(root, 'dist', 'command');
  rmSync(folder, { recursive: true, force: true });
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: ENTRIES,
    outdir: folder,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    external: EXTERNAL,
    banner: { js: REQUIRE },
    sourcemap: 'linked',
    sourcesContent: false,
    metafile: true,
    logLevel: 'warning',
  });
  writeFileSync(path.join(folder, 'LICENSES.txt'), licensesOf(root, Object.keys(metafile.inputs)));
}

/** The packages that are in the bundle, with their licenses, which must go where their code goes. */
function licensesOf(root, inputs) {
  const packages = new Set(inputs.flatMap((input) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input) ?? []));
  return [...packages]
    .sort()
    .map((folder) => {
      const { name, version, license } = JSON.parse(readFileSync(path.join(root, folder, 'package.json'), 'utf8'));
      const files = readdirSync(path.join(root, folder)).filter((file) => /^(licen[cs]e|copying|notice)/i.test(file));
      const texts = files.map((file) => readFileSync(path.join(root, folder, file), 'utf8').trim());
      return [`${name} ${version} (${license})`, ...texts].join('\n\n');
    })
    .join(`\n\n${'-'.repeat(72)}\n\n`);
}
