import { describe, expect, it } from 'vitest';
import { nearestNames } from '../../src/core/nearest-name.js';

describe('nearestNames', () => {
  it('finds slips of the finger, nearest first', () => {
    expect(nearestNames('txet', ['tokens', 'text', 'next'])[0]).toBe('text');
    expect(nearestNames('Text', ['text'])).toEqual(['text']);
  });
  it('does not guess what is far away', () => expect(nearestNames('text', ['quality', 'url'])).toEqual([]));
});
