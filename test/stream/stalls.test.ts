import { describe, expect, it } from 'vitest';
import { NO_WAITS, TrainerAccount } from '../../sidecar/serve/trainer-waits.js';
import { NO_STALLS, Stalls, sumOf, type StallTimes } from '../../src/stream/stalls.js';

describe('the waits of a lane', () => {
  it('are for bytes until these were there, and then for what the threads did meanwhile', () => {
    const work = { decodeMs: 1000, tokenizeMs: 1000, packMs: 1000 };
    let nowMs = 500;
    const stalls = new Stalls(work, { now: () => nowMs });
    const end = stalls.begin();
    nowMs = 570;
    work.decodeMs += 10;
    work.tokenizeMs += 30;
    end(530);
    expect(stalls.times).toEqual({ store: 30, decode: 10, tokenize: 30, pack: 0, other: 0 });
    expect(stalls.sumMs).toBe(70);
  });

  it('are not for bytes that were there before, and for nothing known where no thread answered', () => {
    let nowMs = 500;
    const stalls = new Stalls({ decodeMs: 0, tokenizeMs: 0, packMs: 0 }, { now: () => nowMs });
    const end = stalls.begin();
    nowMs = 510;
    end(-1000);
    stalls.addOther(-1);
    expect(stalls.times).toEqual({ ...NO_STALLS, other: 10 });
  });

  it('are for bytes to their end where these came after it was asked', () => {
    let nowMs = 500;
    const stalls = new Stalls({ decodeMs: 0, tokenizeMs: 0, packMs: 0 }, { now: () => nowMs });
    const end = stalls.begin();
    nowMs = 510;
    end(520);
    expect(stalls.times).toEqual({ ...NO_STALLS, store: 10 });
  });
});

describe('what a trainer waited', () => {
  const at = (store: number, tokenize: number): StallTimes => ({ ...NO_STALLS, store, tokenize });

  it('is split as its stream stalled, and no more than was told', () => {
    const account = new TrainerAccount(at(100, 100));
    account.add(10, at(130, 110));
    expect(account.waits).toEqual({ stalls: at(7.5, 2.5), transportMs: 0 });
    // it noticed nothing: there were batches ahead
    account.add(0, at(500, 500));
    expect(sumOf(account.waits.stalls)).toBe(10);
  });

  it('is transport as far as its stream did not stall', () => {
    const account = new TrainerAccount(NO_STALLS);
    account.add(10, at(0, 4));
    expect(account.waits).toEqual({ stalls: at(0, 4), transportMs: 6 });
    account.add(5, at(0, 4));
    expect(account.waits.transportMs).toBe(11);
  });

  it('goes on where the stream was joined anew, and counts from 0', () => {
    const account = new TrainerAccount(at(50, 50));
    expect(account.waits).toEqual(NO_WAITS);
    account.add(6, at(3, 0));
    expect(account.waits).toEqual({ stalls: at(3, 0), transportMs: 3 });
    // longer in all, but not of the same stream: no cause has less than before
    account.add(10, at(0, 10));
    expect(account.waits).toEqual({ stalls: at(3, 10), transportMs: 3 });
  });
});
