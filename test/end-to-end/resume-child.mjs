/** A process of its own that continues from a cursor and prints the digests of the next batches. Arguments: config, cursor file, batches, rank, world size. */
import { openPipeline } from 'headrace';
import { readFile } from 'node:fs/promises';

const [config, cursorFile, count, rank, worldSize] = process.argv.slice(2);
const cursor = JSON.parse(await readFile(cursorFile, 'utf8'));
const pipeline = await openPipeline(config);
const digests = [];
for await (const batch of pipeline.batches({ rank: Number(rank), worldSize: Number(worldSize), cursor })) {
  digests.push(`${batch.step} ${batch.digest}`);
  if (digests.length === Number(count)) break;
}
process.stdout.write(JSON.stringify(digests));
await pipeline.close();
