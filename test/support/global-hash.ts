/** What "the same stream" means in tests: SHA-256 over the rows of the global batches, in order of step and slot. */
import { createHash } from 'node:crypto';
import type { Batch } from '../../src/index.js';

/** One hash a step: of its rows in slot order, whoever received them. `streams[rank]` holds the batches of a rank from one step on. */
export function stepHashes(streams: readonly (readonly Batch[])[]): string[] {
  const worldSize = streams.length;
  const steps = streams[0].length;
  if (streams.some((stream) => stream.length !== steps))
    throw new Error(`ranks received ${streams.map((stream) => stream.length).join(', ')} steps`);
  return Array.from({ length: steps }, (_, i) => {
    const hash = createHash('sha256');
    const batches = streams.map((stream) => stream[i]);
    const { rows, length, step } = batches[0];
    if (batches.some((batch) => batch.step !== step)) throw new Error(`ranks are at different steps`);
    for (let slot = 0; slot < rows * worldSize; slot++) {
      const batch = batches[slot % worldSize];
      const row = Math.floor(slot / worldSize);
      hash.update(new Uint8Array(batch.inputIds.buffer, batch.inputIds.byteOffset + 4 * row * length, 4 * length));
      hash.update(JSON.stringify(segmentsOfRow(batch, row)));
    }
    return hash.digest('hex');
  });
}

function segmentsOfRow({ cuSeqlens, segments, length }: Batch, row: number): number[] {
  const own: number[] = [];
  for (let i = 0; i < cuSeqlens.length - 1; i++) {
    if (cuSeqlens[i] >= row * length && cuSeqlens[i] < (row + 1) * length) own.push(...segments.subarray(6 * i, 6 * i + 6));
  }
  return own;
}
