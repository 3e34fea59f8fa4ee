/**
 * A trainer: a process of its own that consumes a rank's batches and says each on a line. What it did not say before it is killed, it has not consumed.
 * Arguments: address, rank, world size, file of the cursors to start from, step to end before.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
// the client alone starts in a third of the time
import { connect } from '../../dist/src/client/client.js';

const [address, rank, worldSize, cursorFile, stepsEnd] = process.argv.slice(2);
const cursor = JSON.parse(readFileSync(cursorFile, 'utf8'));
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
if (cursor.at(0)?.step === Number(stepsEnd)) {
  say('end');
  process.exit();
}
const client = connect({
  address,
  rank: Number(rank),
  worldSize: Number(worldSize),
  cursor,
  prefetch: 2,
  timeoutMs: 120_000,
  verify: true,
});
const base64 = ({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength).toString('base64');

for await (const { step, rows, length, inputIds, segments, cuSeqlens, cursor: after } of client) {
  say({ step, rows, length, inputIds: base64(inputIds), segments: base64(segments), cuSeqlens: base64(cuSeqlens), cursor: after });
  if (step + 1 === Number(stepsEnd)) break;
  await delay(4); // a step of training
}
say('end');
