import { openPipeline, type ConfigInput } from 'headrace';
import { randomInt } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import workerThreads from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/config/limits.js';
import type { WorkerReply } from '../../src/stream/messages.js';
import { digestsOf, takeAndClose } from '../support/streams.js';
import { writeParquet } from '../support/token-rows.js';
import { makeWorkspace, type Workspace } from '../support/workspace.js';

/** FAULTS 29: threads of a real pipeline end, without an error, while they have windows open. */
describe('worker threads', () => {
  const { Worker } = workerThreads;
  /** Threads since the last pipeline was opened, and those of them that were ended. */
  let [started, ended] = [0, 0];
  /** Messages to them with which a window is opened or packed. */
  let messages = 0;
  /** Whether the thread is ended that gets a message, whose number this is. */
  let endsAt: (type: 'open' | 'pack', message: number) => boolean = () => false;
  let packMs: number[] = [];
  let workspace: Workspace;

  const config = (): ConfigInput => ({
    sources: { web: { uri: workspace.path('data/'), tokens: 'ids' } },
    sequence: { length: 16, padId: 0 },
    shuffle: { blocks: 2, windowBytes: '64KiB' },
    batch: { size: 4, lanes: 2 },
    epochs: 3,
    last: 'pad',
    cache: { dir: workspace.path('cache') },
    limits: { workers: 2 },
  });

  beforeAll(async () => {
    workspace = await makeWorkspace();
    const rows = Array.from({ length: 400 }, (_, row) => Array.from({ length: 1 + (row % 37) }, (_token, i) => row + i));
    await writeParquet(workspace.path('data'), rows, 4);
    workerThreads.Worker = class extends Worker {
      #isEnding = false;

      constructor(...parameters: ConstructorParameters<typeof Worker>) {
        super(...parameters);
        started++;
        this.on('message', (reply: WorkerReply) => {
          if (reply.type === 'packed') packMs.push(reply.result.work.packMs);
        });
      }
      override postMessage(...parameters: Parameters<InstanceType<typeof Worker>['postMessage']>): void {
        super.postMessage(...parameters);
        const { type } = parameters[0] as { type: string };
        if ((type !== 'open' && type !== 'pack') || !endsAt(type, messages++) || this.#isEnding) return;
        this.#isEnding = true;
        ended++;
        void this.terminate();
      }
    };
    syncBuiltinESMExports();
  });
  afterAll(async () => {
    workerThreads.Worker = Worker;
    syncBuiltinESMExports();
    await workspace.remove();
  });

  async function digests(): Promise<string[]> {
    [started, ended, messages, packMs] = [0, 0, 0, []];
    return digestsOf(await takeAndClose(await openPipeline(config())));
  }

  it('take time to pack, whatever they decoded ahead in time that nobody waited for', async () => {
    await digests();
    expect(packMs.length).toBeGreaterThan(10);
    expect(packMs.filter((ms) => !(ms > 0))).toEqual([]);
  });

  it('that end at random moments are replaced, and the stream is the same', async () => {
    const expected = await digests();
    const usual = messages;
    let replaced = 0;
    for (let round = 0; round < 5; round++) {
      // one window may meet all of them, and is blamed at the next
      const ends = LIMITS.workerStrikesMax - 1;
      // work comes after them, however the messages fall
      const moments = Array.from({ length: ends }, () => randomInt(0, Math.ceil(usual / 2))).sort((a, b) => a - b);
      endsAt = (_type, message) => message >= moments[ended];
      expect(await digests(), `ended at the messages ${moments.join()} of ${usual}`).toEqual(expected);
      expect(ended).toBe(ends);
      replaced += started - 2;
    }
    endsAt = () => false;
    expect(replaced).toBeGreaterThan(0);
  });

  it('that one window ends time and again end the run, and the window is named', async () => {
    endsAt = (type) => type === 'pack';
    await expect(digests()).rejects.toMatchObject({
      code: 'WORKER_FAILED',
      message: expect.stringMatching(/source web, group \d+, window 0/),
    });
    endsAt = () => false;
  });
});
