import { describe, expect, it } from 'vitest';
import { BoundedQueue } from '../../src/core/bounded-queue.js';

describe('BoundedQueue', () => {
  it('delivers in order, and makes the producer wait when it is full', async () => {
    const queue = new BoundedQueue<number>(2);
    await queue.put(1);
    await queue.put(2);
    let third = false;
    const putting = queue.put(3).then(() => (third = true));
    await Promise.resolve();
    expect(third).toBe(false);
    expect(await queue.take()).toBe(1);
    await putting;
    expect([await queue.take(), await queue.take()]).toEqual([2, 3]);
  });

  it('hands an item to a taker that waits', async () => {
    const queue = new BoundedQueue<string>(1);
    const taking = queue.take();
    await queue.put('a');
    expect(await taking).toBe('a');
    expect(queue.length).toBe(0);
  });

  it('ends after its last item', async () => {
    const queue = new BoundedQueue<number>(2);
    await queue.put(1);
    queue.end();
    expect(await queue.take()).toBe(1);
    expect(await queue.take()).toBeUndefined();
    expect(queue.offer(2)).toBe(false);
  });

  it('fails every wait, after what was put before', async () => {
    const queue = new BoundedQueue<number>(1);
    await queue.put(1);
    queue.fail(new Error('broken'));
    expect(await queue.take()).toBe(1);
    await expect(queue.take()).rejects.toThrow('broken');
    await expect(queue.put(2)).rejects.toThrow('broken');
  });

  it('an aborted wait takes nothing', async () => {
    const queue = new BoundedQueue<number>(1);
    const abort = new AbortController();
    const taking = queue.take(abort.signal);
    abort.abort();
    await expect(taking).rejects.toMatchObject({ code: 'ABORTED' });
    await queue.put(7);
    expect(await queue.take()).toBe(7);
  });

  it('offers without waiting: no room, no put', () => {
    const queue = new BoundedQueue<number>(1);
    expect([queue.offer(1), queue.offer(2)]).toEqual([true, false]);
  });
});
