import { describe, expect, it } from 'vitest';
import { canonicalJson, compareUtf8, fingerprint } from '../../src/core/canonical-json.js';

describe('canonicalJson', () => {
  it('does not depend on the order of keys, and leaves out what is undefined', () => {
    expect(canonicalJson({ b: [1, { d: null, c: 'ü' }], a: true, e: undefined })).toBe('{"a":true,"b":[1,{"c":"ü","d":null}]}');
    expect(fingerprint({ a: 1, b: 2 })).toBe(fingerprint({ b: 2, a: 1 }));
    expect(fingerprint({ a: 1 })).not.toBe(fingerprint({ a: 2 }));
  });
  it('orders strings by UTF-8 bytes, as object stores list them', () => {
    expect(['\u{1F600}', '\uFFFD', 'a', 'Z'].sort(compareUtf8)).toEqual(['Z', 'a', '\uFFFD', '\u{1F600}']);
  });
});
