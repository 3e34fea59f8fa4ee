import { describe, expect, it } from 'vitest';
import { formatDuration, formatSize, parseDuration, parseSize } from '../../src/core/quantity.js';

describe('sizes and durations', () => {
  it.each([
    ['64MiB', 64 * 2 ** 20],
    ['1.5 GiB', 1.5 * 2 ** 30],
    ['10kb', 10_000],
    ['7B', 7],
  ])('reads the size %s', (text, bytes) => expect(parseSize(text)).toBe(bytes));

  it.each(['', '64', 'MiB', '64 parsecs', '-1MiB', '1e3MiB', '99999999TiB'])('refuses the size %j', (text) =>
    expect(parseSize(text)).toBeUndefined(),
  );

  it.each([
    ['20s', 20_000],
    ['1.5m', 90_000],
    ['250 ms', 250],
    ['2h', 7_200_000],
  ])('reads the duration %s', (text, ms) => expect(parseDuration(text)).toBe(ms));

  it('writes them for people', () => {
    expect(formatSize(64 * 2 ** 20)).toBe('64 MiB');
    expect(formatSize(1536)).toBe('1.5 KiB');
    expect(formatDuration(2500)).toBe('2.5 s');
  });
});
