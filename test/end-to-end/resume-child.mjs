/**
 * A process of its own that continues from cursors, each with a new pipeline, and prints the digests of the batches that come next.
 * Arguments: config, file of ranks and cursors, batches, world size.
 */
import { openPipeline } from 'headrace';
import { readFile } from 'node:fs/promises';

const [config, cursorFile, count, worldSize] = process.argv.slice(2);
const answers = [];
for (const { rank, cursor } of JSON.parse(await readFile(cursorFile, 'utf8'))) {
  const pipeline = await openPipeline(config);
  const digests = [];
  for await (const batch of pipeline.batches({ rank, worldSize: Number(worldSize), cursor })) {
    digests.push(`${batch.step} ${batch.digest}`);
    if (digests.length === Number(count)) break;
  }
  answers.push(digests);
  await pipeline.close();
}
process.stdout.write(JSON.stringify(answers));
