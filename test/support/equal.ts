/** Large values are compared by Node, which takes a hundredth of what an assertion takes; the assertion still has the last word, and the message. */
import { isDeepStrictEqual } from 'node:util';
import { expect } from 'vitest';

/** What `expect(actual, message).toEqual(expected)` accepts, and how it fails. */
export function expectEqual<T>(actual: T, expected: T, message?: string): void {
  if (!isDeepStrictEqual(actual, expected)) expect(actual, message).toEqual(expected);
}
