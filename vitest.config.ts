import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  // whole pipelines are tested as users get them: built, with real worker threads
  resolve: { alias: { headrace: fileURLToPath(new URL('./dist/src/index.js', import.meta.url)) } },
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
    // the user's directories stay as they are
    env: { NODE_DISABLE_COMPILE_CACHE: '1' },
    // loaded by Node, as by users; the sources that tests import are transformed
    server: { deps: { external: [/\/dist\//] } },
  },
});
