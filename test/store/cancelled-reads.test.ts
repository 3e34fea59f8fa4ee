import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { startOrigin } from '../support/origin.js';

const CHILD = fileURLToPath(new URL('cancelled-reads-child.mjs', import.meta.url));
const READS = 10_000;
/**
 * A listener, a promise or a request that stays behind with each read takes more than 200 bytes; what V8 compiles and remembers between two rounds
 * takes less than this in all.
 */
const GROWTH_BYTES_MAX = 200 * READS;

it('10,000 reads that are cancelled at random leave no memory behind, again and again', async () => {
  const origin = await startOrigin((request, response) => {
    const [, start, last] = /bytes=(\d+)-(\d+)/.exec(request.headers.range!)!.map(Number);
    const length = last + 1 - start;
    response.writeHead(206, { etag: '"v1"', 'content-length': length, 'content-range': `bytes ${start}-${last}/${2 ** 40}` });
    response.end(Buffer.alloc(length));
    origin.requests.length = 0; // which would fill this process's memory
  });
  try {
    const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', CHILD, origin.url, '3', String(READS)]);
    const rounds = JSON.parse(stdout) as { readonly cancelled: number; readonly liveBytes: number }[];
    for (const { cancelled } of rounds) expect(cancelled).toBeGreaterThan(READS / 2);
    const [warm, ...later] = rounds.map(({ liveBytes }) => liveBytes); // the first one loads the SDK, and opens the connections
    for (const liveBytes of later) expect(liveBytes - warm).toBeLessThan(GROWTH_BYTES_MAX);
  } finally {
    origin.close();
  }
}, 240_000);
