/** A process of its own, started with --expose-gc, that cancels reads at random. Arguments: endpoint, rounds, reads a round. Prints its live bytes after each round. */
import { setImmediate } from 'node:timers/promises';
import { decorated } from '../../dist/src/store/open-store.js';
import { s3Store } from '../../dist/src/store/s3.js';
import { createStoreCounters } from '../../dist/src/store/with-counters.js';

const CALLERS = 100;
const CANCELLED = 95;

const [endpoint, rounds, readsPerRound] = process.argv.slice(2);
const credentials = { accessKeyId: 'a', secretAccessKey: 's' };
const store = decorated(s3Store({ bucket: 'b', endpoint, forcePathStyle: true, credentials }), createStoreCounters());
/** As a pipeline's signal, it outlives every read. */
const lasting = new AbortController();

async function readAndCancel() {
  const callers = Array.from({ length: CALLERS }, (_, i) => (i < CANCELLED ? new AbortController() : lasting));
  const reads = Array.from({ length: Number(readsPerRound) }, (_, i) => {
    const { signal } = callers[Math.floor(Math.random() * CALLERS)];
    const startByte = i * 2 ** 20; // too far apart to be joined
    return { signal, bytes: store.read('key', { startByte, endByte: startByte + 16 }, { ifMatch: '"v1"', signal }) };
  });
  const outcomes = Promise.allSettled(reads.map(({ bytes }) => bytes));
  const lastingReads = reads.filter(({ signal }) => signal === lasting.signal);
  // some before they are sent, some under way, some in line
  for (let moment = 0; moment < 4; moment++) {
    for (let i = moment; i < CANCELLED; i += 4) callers[i].abort();
    await lastingReads[50 * moment].bytes;
  }
  const cancelled = (await outcomes).filter(({ status, reason }) => status === 'rejected' && reason.code === 'ABORTED').length;
  const failed = (await outcomes).filter(({ status, reason }) => status === 'rejected' && reason.code !== 'ABORTED');
  if (failed.length > 0) throw failed[0].reason;
  return cancelled;
}

function liveBytes() {
  globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const results = [];
for (let round = 0; round < Number(rounds); round++) {
  const cancelled = await readAndCancel();
  await setImmediate();
  results.push({ cancelled, liveBytes: liveBytes() });
}
process.stdout.write(`${JSON.stringify(results)}\n`);
await store.close();
