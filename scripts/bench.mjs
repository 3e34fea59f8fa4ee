/** `npm run bench -- stream|storage|transport|memory|tokenize|tokens-cache|tokens-packed|padding|plan|resume|shuffle|scan|decode|decode-arrays|tar|micro|end-to-end [OPTIONS]`: sets up what the benchmark needs and runs it. */
import path from 'node:path';
import { ensureLoaders } from './bench-loaders.mjs';
import { ensureNode, ensurePeers } from './bench-peers.mjs';
import { ensureMinio, ensureVersitygw } from './minio.mjs';
import { ensurePython } from './python.mjs';
import { ROOT, run, setup } from './setup.mjs';
import { ensureTokenizers } from './tokenizers.mjs';

const [name = 'stream', ...options] = process.argv.slice(2);
await setup();
run(process.execPath, [path.join(ROOT, 'dist', 'bench', `${name}.js`), ...options], { env: { ...process.env, ...environment() } });

function environment() {
  if (name === 'tokenize') {
    ensureTokenizers();
    const peers = ensurePeers();
    const wanted = /(?:^|\0)--node[=\0]([^\0]+)/.exec(options.join('\0'))?.[1];
    const node = wanted === undefined ? undefined : ensureNode(wanted);
    return peers === null ? {} : { HEADRACE_BENCH_PEERS: JSON.stringify({ ...peers, node }) };
  }
  if (name === 'end-to-end') {
    const loaders = ensureLoaders();
    const wanted = /(?:^|\0)--server[=\0]([^\0]+)/.exec(options.join('\0'))?.[1];
    const versitygw = wanted === 'minio' ? null : ensureVersitygw();
    // to build MinIO takes minutes: only where it is asked for, or there is no other
    const minio = wanted === 'minio' || versitygw === null ? ensureMinio() : null;
    return {
      ...(loaders && { HEADRACE_BENCH_LOADERS: JSON.stringify(loaders) }),
      ...(versitygw && { HEADRACE_VERSITYGW: versitygw }),
      ...(minio && { HEADRACE_MINIO: minio }),
    };
  }
  const python = ['storage', 'tokens-packed', 'padding', 'plan', 'resume', 'shuffle', 'micro', 'scan'].includes(name)
    ? null
    : ensurePython('test');
  const minio = ['stream', 'storage', 'scan'].includes(name) ? ensureMinio() : null;
  return { ...(python && { HEADRACE_PYTHON: python }), ...(minio && { HEADRACE_MINIO: minio }) };
}
