import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/config/limits.js';
import { SEGMENT_FIELDS, type Sequence } from '../../src/core/sequence.js';
import type { Lane } from '../../src/stream/lane.js';
import { MixtureTimeline } from '../../src/stream/mixture-timeline.js';
import { StreamHub } from '../../src/stream/rank-stream.js';

const RANK = { rank: 0, worldSize: 1 };

/** One lane of sequences without an end, which fails when it is asked after its end. */
function endlessLane(): Lane {
  let taken = 0;
  let closed = false;
  const sequence: Sequence = { ids: Int32Array.of(1), segments: new Int32Array(SEGMENT_FIELDS), digest: new Uint8Array(32), tokens: 1 };
  const lane = {
    takeReady: () => undefined,
    take: () => {
      taken++;
      return closed ? Promise.reject(new Error('the lane was closed')) : Promise.resolve(sequence);
    },
    get state() {
      return { web: [taken, 0, 0, 0, taken, 0] };
    },
    readySequences: 0,
    start: () => undefined,
    close: () => {
      closed = true;
    },
  };
  return lane as unknown as Lane;
}

describe('streams of ranks', () => {
  it('whoever leaves while it waits for a step that is no longer kept, disturbs nobody', async () => {
    const hub = new StreamHub({
      batchSize: 1,
      lanes: 1,
      length: 1,
      padId: 0,
      finite: false,
      last: 'drop',
      plan: {},
      openLane: endlessLane,
      openMixture: (taken, step) => new MixtureTimeline({ names: ['web'], weights: [1], scheduled: [], taken, log: undefined }, step),
    });
    const lanes = { 0: { web: [0, 0, 0, 0, 0, 0] } } as const;
    const slow = hub.open(RANK, 0, lanes, []);
    const fast = hub.open(RANK, 0, lanes, []);
    for (let step = 0; step <= LIMITS.stepsRetainedMax; step++) expect((await fast.next())?.step).toBe(step);
    const waiting = slow.next();
    slow.close();
    expect(await waiting).toBeUndefined();
    expect((await fast.next())?.step).toBe(LIMITS.stepsRetainedMax + 1);
    fast.close();
    expect(hub.readySequences).toBe(0);
  });
});
