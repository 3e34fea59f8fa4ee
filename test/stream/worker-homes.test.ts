import { EventEmitter } from 'node:events';
import { beforeEach, expect, it, vi } from 'vitest';
import type { WindowPayload, WorkerRequest, WorkerSettings } from '../../src/stream/messages.js';
import { WorkerPool } from '../../src/stream/worker-pool.js';

/** Which worker each window was opened in, one after the other. */
const openedIn = vi.hoisted((): object[] => []);

vi.mock('node:worker_threads', () => ({
  /** Is ready at once, and does nothing. */
  Worker: class extends EventEmitter {
    postMessage(request: WorkerRequest): void {
      if (request.type === 'configure') setImmediate(() => this.emit('message', { type: 'ready' }));
      if (request.type === 'open') openedIn.push(this);
    }
    terminate(): Promise<number> {
      return Promise.resolve(0);
    }
  },
}));

beforeEach(() => {
  openedIn.length = 0;
});

const PAYLOAD: WindowPayload = { sourceIndex: 0, kind: 'tokens', slices: [], epoch: 0, orderKey: undefined, selection: undefined };

/** Resolves with the worker that has it. */
async function openWindow(pool: WorkerPool, lane: object): Promise<object> {
  const handle = pool.openWindow(() => Promise.resolve(PAYLOAD), { document: 0, token: 0 }, 'window', lane);
  await vi.waitUntil(() => handle.loadedMs > 0);
  return openedIn[openedIn.length - 1];
}

it('windows of one lane go to one worker, unless that is much busier than another', async () => {
  const pool = new WorkerPool(3, () => undefined);
  await pool.configure({ transforms: [] } as unknown as WorkerSettings);
  const lanes = Array.from({ length: 5 }, (_, lane) => ({ lane }));
  const open = (lane: number): Promise<object> => openWindow(pool, lanes[lane]);
  const homes: object[] = [];
  for (const lane of lanes.keys()) homes.push(await open(lane));
  expect(new Set(homes.slice(0, 3)).size).toBe(3);
  expect(homes.slice(3)).toEqual([homes[0], homes[1]]);
  // with two lanes each but for the third: the least busy would be its worker, or the first of those
  for (const lane of [4, 1, 0, 3]) expect(await open(lane)).toBe(homes[lane]);
  // four windows in the first two, and one in the third
  expect(await open(1)).toBe(homes[1]);
  expect(await open(1)).toBe(homes[2]);
  expect(await open(1)).toBe(homes[2]);
  await pool.close();
});

it('a worker that is not wanted for the first batch starts with the second window of a lane, and takes some of them', async () => {
  const pool = new WorkerPool(2, () => undefined, 1);
  await pool.configure({ transforms: [] } as unknown as WorkerSettings);
  const lanes = Array.from({ length: 4 }, (_, lane) => ({ lane }));
  const open = (lane: number): Promise<object> => openWindow(pool, lanes[lane]);
  const workers = new Set<object>();
  for (const lane of lanes.keys()) workers.add(await open(lane));
  expect(workers.size).toBe(1);
  workers.add(await open(0)); // the other one has still to start
  expect(workers.size).toBe(1);
  await new Promise((resolve) => setTimeout(resolve, 20));
  for (const lane of lanes.keys()) workers.add(await open(lane));
  expect(workers.size).toBe(2);
  await pool.close();
});
