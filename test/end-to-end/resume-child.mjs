/**
 * A process of its own that continues from cursors, each with a new pipeline, and prints the digests of the batches that come next.
 * Arguments: config, file of ranks and cursors, batches, world size.
 */
import { openPipeline } from 'headrace';
import { readFile } from 'node:fs/promises';

const [config, cursorFile, count, worldSize] = process.argv.slice(2);
const answers = [];
// the first one as a run that goes on, the others no further than they are looked at, which saves the work ahead
for (const [index, { rank, cursor }] of JSON.parse(await readFile(cursorFile, 'utf8')).entries()) {
  const pipeline = await openPipeline(config);
  const digests = [];
  const end = index === 0 ? {} : { stepsEnd: cursor.step + Number(count) };
  for await (const batch of pipeline.batches({ rank, worldSize: Number(worldSize), cursor, ...end })) {
    digests.push(`${batch.step} ${batch.digest}`);
    if (digests.length === Number(count)) break;
  }
  answers.push(digests);
  await pipeline.close();
}
process.stdout.write(JSON.stringify(answers));
