import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/config/limits.js';
import { requestEnd } from '../../src/decode/request-end.js';

const { readAheadBytes: ahead, restBytesMin: rest } = LIMITS;

describe('the end of a request', () => {
  it.each([
    ['is not near its start', 0, 10, 10 * ahead, ahead],
    ['is where more is wanted', 5, 3 * ahead, 10 * ahead, 3 * ahead],
    ['is the last byte, where there is little', 5, 10, 100, 100],
    ['is the last byte, where little would be left', 0, 10, ahead + rest - 1, ahead + rest - 1],
    ['leaves what is worth a request', 0, 10, ahead + rest, ahead],
    ['is behind the last byte where that is wanted', 0, 20, 10, 20],
  ])('%s', (_, startByte, wantedEnd, lastByte, end) => {
    expect(requestEnd(startByte, wantedEnd, lastByte)).toBe(end);
  });

  it('leaves a rest of any size where it is told to', () => {
    expect(requestEnd(0, 10, ahead + 1, 0)).toBe(ahead);
    expect(requestEnd(0, 20, 10, 0)).toBe(20);
  });
});
