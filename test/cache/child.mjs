/** A process of its own that reads keys through a cache. Arguments: directory, origin's URL, bytes a key, first key, last key, `shuffled` or `ordered`, and, where it is to be killed, after how many reads: each has just begun a write. */
import { createRangeCache } from '../../dist/src/cache/range-cache.js';
import { createHash } from 'node:crypto';

const [dir, origin, length, first, last, order, readsBeforeKill = Infinity] = process.argv.slice(2);
const cache = createRangeCache({ dir, bytesMax: 2 ** 30, fsync: 'never' });
const keys = Array.from({ length: Number(last) - Number(first) + 1 }, (_, i) => Number(first) + i);
if (order === 'shuffled') keys.sort(() => Math.random() - 0.5);

const fetchKey =
  (key) =>
  async ({ startByte, endByte }, signal) =>
    new Uint8Array(await (await fetch(`${origin}/${key}?${length}`, { signal })).arrayBuffer()).slice(startByte, endByte);
/** What no entry is of: it lies in one. */
const part = { startByte: Math.floor(length / 3), endByte: Math.ceil(length / 2) };
const digests = {};
let reads = 0;
const queue = [...keys];
const reader = async () => {
  for (let key = queue.shift(); key !== undefined; key = queue.shift()) {
    const bytes = await cache.read(`key ${key}`, { startByte: 0, endByte: Number(length) }, fetchKey(key));
    // up to 3 ms later: anywhere in the writes of this and the next keys
    if (++reads === Number(readsBeforeKill)) setTimeout(() => process.kill(process.pid, 'SIGKILL'), Math.random() * 3);
    const ofPart = await cache.read(`key ${key}`, part, fetchKey(key));
    const isSame = Buffer.compare(ofPart, bytes.subarray(part.startByte, part.endByte)) === 0;
    digests[key] = isSame ? createHash('sha256').update(bytes).digest('hex') : 'another part';
  }
};
await Promise.all(Array.from({ length: 8 }, reader));
await cache.close();
process.stdout.write(`${JSON.stringify({ digests, counters: cache.counters })}\n`);
