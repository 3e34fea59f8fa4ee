import { connect, mergeCursors, openPipeline, type Batch, type ConfigInput } from 'headrace';
import { execFile } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleDocuments } from '../../examples/corpus/prose.js';
import { writeShards } from '../../examples/corpus/parquet.js';
import { startSidecar, type SidecarProcess } from '../support/sidecar.js';
import { runRanks, take } from '../support/streams.js';
import { makeWorkspace, smallConfig, type Workspace } from '../support/workspace.js';

const CHILD = fileURLToPath(new URL('resume-child.mjs', import.meta.url));
const run = promisify(execFile);

/** Everything that a random number decided is in the message of a failure. */
describe('resuming', () => {
  let workspace: Workspace;
  let file: string;
  let reference: Batch[][];

  const config = (): ConfigInput => smallConfig(workspace);

  beforeAll(async () => {
    workspace = await makeWorkspace();
    await writeShards(workspace.path('data'), sampleDocuments(400), 8, 20);
    file = await workspace.config('headrace.yaml', config());
    reference = await runRanks(file, 2);
  });
  afterAll(() => workspace.remove());

  it('in new processes, at 50 random steps, gives the next 20 batches of the uninterrupted run', async () => {
    const steps = reference[0].length;
    expect(steps).toBeGreaterThan(100);
    const trials = Array.from({ length: 50 }, (_, i) => ({ rank: i % 2, step: randomInt(0, steps) }));
    // a process opens a pipeline for each of its trials: what it has of the ones before cannot help it
    const process = async (own: typeof trials, index: number): Promise<void> => {
      const cursorFile = workspace.path(`cursors-${index}.json`);
      await writeFile(cursorFile, JSON.stringify(own.map(({ rank, step }) => ({ rank, cursor: reference[rank][step].cursor }))));
      const { stdout } = await run(execPath, [CHILD, file, cursorFile, '20', '2']);
      const answers = JSON.parse(stdout) as string[][];
      for (const [i, { rank, step }] of own.entries()) {
        const expected = reference[rank].slice(step + 1, step + 21).map((batch) => `${batch.step} ${batch.digest}`);
        expect(answers[i], `rank ${rank}, after step ${step}`).toEqual(expected);
      }
      expect(answers).toHaveLength(own.length);
    };
    const processes = 10;
    const runner = async (first: number): Promise<void> => {
      for (let index = first; index < processes; index += 2)
        await process(
          trials.filter((_, i) => Math.floor(i / 2) % processes === index),
          index,
        );
    };
    await Promise.all([runner(0), runner(1)]);
  }, 300_000);

  it('with another number of ranks goes on with the same global batches', async () => {
    const step = randomInt(0, reference[0].length - 5);
    const cursors = reference.map((stream) => stream[step].cursor);
    const pipeline = await openPipeline(file);
    try {
      const four = await Promise.all([0, 1, 2, 3].map((rank) => take(pipeline.batches({ rank, worldSize: 4, cursor: cursors }), 3)));
      const one = await take(pipeline.batches({ cursor: mergeCursors(cursors) }), 3);
      for (let i = 0; i < 3; i++) {
        const rows = one[i].rows;
        for (let slot = 0; slot < rows; slot++) {
          const expected = row(reference[slot % 2][step + 1 + i], Math.floor(slot / 2));
          expect(row(one[i], slot), `step ${step + 1 + i}`).toEqual(expected);
          expect(row(four[slot % 4][i], Math.floor(slot / 4))).toEqual(expected);
        }
      }
    } finally {
      await pipeline.close();
    }
  });

  it('refuses a cursor of other data, another seed, or another length, and names it', async () => {
    const { cursor } = reference[0][3];
    for (const [change, field] of [
      [{ seed: 6 }, 'seed'],
      [{ sequence: { length: 64 } }, 'sequence.length'],
      [
        { sources: { prose: { uri: [workspace.path('data/part-000.parquet'), workspace.path('data/part-001.parquet')] } } },
        'sources.prose.manifest',
      ],
    ] as const) {
      const pipeline = await openPipeline({ ...config(), ...(change as Partial<ConfigInput>) });
      expect(() => pipeline.openStream({ cursor })).toThrow(
        expect.objectContaining({ code: 'CURSOR_MISMATCH', detail: expect.objectContaining({ field }) }),
      );
      await pipeline.close();
    }
  });

  it('through 20 SIGKILLs of the sidecar at random moments loses and repeats nothing', async () => {
    const address = `ipc://${workspace.path('kill.sock')}`;
    let sidecar: SidecarProcess = await startSidecar(file, { address });
    let kills = 0;
    try {
      for (let round = 0; kills < 20; round++) {
        const streams: Batch[][] = [[], []];
        let going = true;
        const isGoing = (): boolean => going;
        const ranks = [0, 1].map(async (rank) => {
          // the trainer takes its time, so that the moments fall into the epoch
          for await (const batch of connect({ address, rank, worldSize: 2, prefetch: 2 })) {
            streams[rank].push(batch);
            await new Promise((resolve) => setTimeout(resolve, 15));
          }
        });
        const killing = (async () => {
          while (isGoing() && kills < 20) {
            await new Promise((resolve) => setTimeout(resolve, randomInt(50, 800)));
            if (!isGoing()) return;
            await sidecar.end('SIGKILL');
            sidecar = await startSidecar(file, { address });
            kills++;
          }
        })();
        await Promise.all(ranks);
        going = false;
        await killing;
        for (const rank of [0, 1]) {
          expect(
            streams[rank].map((batch) => `${batch.step} ${batch.digest}`),
            `round ${round}, rank ${rank}, ${kills} kills`,
          ).toEqual(reference[rank].map((batch) => `${batch.step} ${batch.digest}`));
          expect(streams[rank].at(-1)!.cursor).toEqual(reference[rank].at(-1)!.cursor);
        }
      }
    } finally {
      await sidecar.end('SIGKILL');
    }
    expect(kills).toBe(20);
  }, 300_000);
});

function row(batch: Batch, index: number): number[] {
  return [...batch.inputIds.subarray(index * batch.length, (index + 1) * batch.length)];
}
