/** `npm run bench -- stream|transport|memory [OPTIONS]`: sets up what the benchmark needs and runs it. */
import path from 'node:path';
import { ensureMinio } from './minio.mjs';
import { ensurePython } from './python.mjs';
import { ROOT, run, setup } from './setup.mjs';

const [name = 'stream', ...options] = process.argv.slice(2);
setup();
const python = ensurePython('test');
const minio = name === 'stream' ? ensureMinio() : null;
const env = { ...process.env, ...(python && { HEADRACE_PYTHON: python }), ...(minio && { HEADRACE_MINIO: minio }) };
run(process.execPath, [path.join(ROOT, 'dist', 'bench', `${name}.js`), ...options], { env });
