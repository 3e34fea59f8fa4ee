import { EventEmitter } from 'node:events';
import { beforeEach, expect, it, vi } from 'vitest';
import { FreshTokens } from '../../src/stream/fresh-tokens.js';
import type { WindowPayload, WindowSlice, WorkerRequest, WorkerSettings } from '../../src/stream/messages.js';
import { WorkerPool, type WindowHandle } from '../../src/stream/worker-pool.js';

type Given = Extract<WorkerRequest, { readonly type: 'tokens' }>;

const worker = vi.hoisted((): { emit: (message: unknown) => void; readonly given: unknown[]; readonly opened: number[] } => ({
  emit: () => undefined,
  given: [],
  opened: [],
}));

vi.mock('node:worker_threads', () => ({
  /** Is ready at once, and notes what it is given. */
  Worker: class extends EventEmitter {
    postMessage(request: WorkerRequest): void {
      worker.emit = (message) => this.emit('message', message);
      if (request.type === 'configure') setImmediate(() => this.emit('message', { type: 'ready' }));
      if (request.type === 'open') worker.opened.push(request.window);
      if (request.type === 'tokens') worker.given.push(request);
    }
    terminate(): Promise<number> {
      return Promise.resolve(0);
    }
  },
}));

beforeEach(() => {
  worker.given.length = 0;
  worker.opened.length = 0;
});

const PAYLOAD: WindowPayload = { sourceIndex: 0, kind: 'text', slices: [], epoch: 0, orderKey: undefined, selection: undefined };

function wanting(key: string): WindowSlice {
  const encoded = { format: 'omitted', uri: 'file:///a', rows: 1 } as const;
  const place = { shard: 0, path: 'a', startRow: 0, blockStartRow: 0 };
  return { ...place, encoded, beside: undefined, again: false, tokens: { kind: 'wanted', key } };
}

async function openPool(): Promise<WorkerPool> {
  const pool = new WorkerPool(1, () => undefined);
  await pool.configure({ transforms: [] } as unknown as WorkerSettings);
  return pool;
}

/** A window whose slices want these keys. `loading`: what its bytes wait for. */
async function openWindow(pool: WorkerPool, keys: readonly string[], loading = Promise.resolve()): Promise<WindowHandle> {
  const handle = pool.openWindow(
    async (_damaged, onLookup) => {
      keys.forEach(onLookup);
      await loading;
      return { ...PAYLOAD, slices: keys.map(wanting) };
    },
    { document: 0, token: 0 },
    'window',
    {},
  );
  await Promise.resolve();
  return handle;
}

function made(window: number, key: string): void {
  worker.emit({ type: 'tokenized', window, key, entry: Uint8Array.of(window, key.charCodeAt(0)) });
}

const given = (): Pick<Given, 'window' | 'slice' | 'entry'>[] =>
  (worker.given as Given[]).map(({ window, slice, entry }) => ({ window, slice, entry }));

it('whoever stops to wait for tokens that were made takes none from those that wait for them again', () => {
  const fresh = new FreshTokens();
  const taken: string[] = [];
  const endFirst = fresh.want('a', () => taken.push('first'));
  fresh.made(0, 'a', new Uint8Array(0));
  const endSecond = fresh.want('a', () => taken.push('second'));
  endFirst();
  fresh.made(0, 'a', new Uint8Array(0));
  expect(taken).toEqual(['first', 'second']);
  endSecond();
  fresh.want('a', () => taken.push('third'))();
  fresh.made(0, 'a', new Uint8Array(0));
  expect(taken).toHaveLength(2);
});

it('tokens that a window makes are given to the others that want them, whose bytes are there, and to nobody twice', async () => {
  const pool = await openPool();
  for (const keys of [['a', 'b'], ['b', 'c'], ['c']]) await openWindow(pool, keys);
  await vi.waitUntil(() => worker.opened.length === 3);
  made(0, 'b');
  expect(given()).toEqual([{ window: 1, slice: 0, entry: Uint8Array.of(0, 98) }]);
  made(0, 'a');
  expect(worker.given).toHaveLength(1);
  made(2, 'c');
  expect(given()[1]).toEqual({ window: 1, slice: 1, entry: Uint8Array.of(2, 99) });
  made(1, 'c');
  expect(worker.given).toHaveLength(2);
  await pool.close();
});

it('what is made while a window is loaded is given to it afterwards; to one that is closed nothing is', async () => {
  const pool = await openPool();
  await openWindow(pool, ['a']);
  let load = (): void => undefined;
  const loading = new Promise<void>((resolve) => {
    load = resolve;
  });
  await openWindow(pool, ['x', 'a'], loading);
  const closed = await openWindow(pool, ['a']);
  await vi.waitUntil(() => worker.opened.length === 2);
  closed.close();
  made(0, 'a');
  expect(worker.given).toEqual([]);
  load();
  await vi.waitUntil(() => worker.given.length > 0);
  expect(given()).toEqual([{ window: 1, slice: 1, entry: Uint8Array.of(0, 97) }]);
  await pool.close();
});
