import { describe, expect, it } from 'vitest';
import { Session } from '../../sidecar/serve/session.js';
import { NO_STALLS } from '../../src/stream/stalls.js';
import type { Batch } from '../../src/stream/rank-stream.js';

const LENGTH = 4;

function batchOf(step: number): Batch {
  return {
    step,
    rows: 1,
    length: LENGTH,
    tokens: LENGTH,
    digest: '0'.repeat(64),
    inputIds: new Int32Array(LENGTH),
    lossMask: new Uint8Array(LENGTH).fill(1),
    isMasked: false,
    cuSeqlens: Int32Array.of(0, LENGTH),
    segments: new Int32Array(6),
    cursor: { version: 2, step: step + 1, plan: {}, mixture: [], lanes: {} },
  };
}

describe('a session', () => {
  // turns of the queue of microtasks after a batch was sent
  it.each([0, 1, 2, 3, 4, 5])('sends for a credit that comes %i turns after the last one was used', async (turns) => {
    let step = 0;
    const sent: number[] = [];
    const failures: unknown[] = [];
    const session: Session = new Session(
      {
        id: 1,
        key: 'k',
        incarnation: 1,
        identity: Buffer.from('i'),
        client: 'c',
        rank: 0,
        worldSize: 1,
        stream: {
          start: batchOf(-1).cursor,
          next: () => Promise.resolve(batchOf(step++)),
          close: () => undefined,
          stalls: NO_STALLS,
        },
        send: () => Promise.resolve(true),
        onBatch: (batch) => {
          sent.push(batch.step);
          if (sent.length === 2) return;
          const later = (left: number): void => (left === 0 ? session.addCredits(1) : queueMicrotask(() => later(left - 1)));
          later(turns);
        },
        onFailure: (error) => failures.push(error),
        onGone: () => failures.push('gone'),
      },
      1,
    );
    session.pump();
    await new Promise(setImmediate);
    expect(failures).toEqual([]);
    expect(sent).toEqual([0, 1]);
    expect(session.credits).toBe(0);
    session.close();
  });
});
