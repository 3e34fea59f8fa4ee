/** The kernel that decodes pages of Snappy, against blocks put together here: writers leave out most of what the format allows. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { inflateOf } from '../../src/decode/parquet/inflate.js';

const unsnap = inflateOf('SNAPPY')!;

type Element =
  | { readonly kind: 'literal'; readonly length: number; readonly lengthBytes: 0 | 1 | 2 | 3 | 4 }
  | { readonly kind: 'copy'; readonly length: number; readonly offset: number; readonly offsetBytes: 1 | 2 | 4 };

/** Those that are not possible where they stand are left out. */
function blockOf(elements: readonly Element[]): { readonly block: Uint8Array; readonly content: Uint8Array } {
  const [content, body]: number[][] = [[], []];
  for (const element of elements) {
    const { length } = element;
    if (element.kind === 'literal') {
      const least = length <= 60 ? 0 : length <= 256 ? 1 : 2;
      const bytes = Math.max(least, element.lengthBytes);
      body.push((bytes === 0 ? length - 1 : 59 + bytes) << 2);
      for (let i = 0; i < bytes; i++) body.push(Math.floor((length - 1) / 256 ** i) % 256);
      for (let i = 0; i < length; i++) {
        const byte = (content.length * 151 + (content.length >> 8)) % 256;
        body.push(byte);
        content.push(byte);
      }
      continue;
    }
    const { offset, offsetBytes } = element;
    if (offset > content.length || (offsetBytes === 1 && (offset >= 2048 || length < 4 || length > 11))) continue;
    body.push(offsetBytes === 1 ? 1 | ((length - 4) << 2) | ((offset >> 8) << 5) : (offsetBytes === 2 ? 2 : 3) | ((length - 1) << 2));
    for (let i = 0; i < offsetBytes; i++) body.push((offset >> (8 * i)) & 0xff);
    for (let i = 0; i < length; i++) content.push(content[content.length - offset]);
  }
  const size: number[] = [];
  for (let rest = content.length; ; rest >>= 7) {
    size.push(rest < 128 ? rest : (rest & 127) | 128);
    if (rest < 128) break;
  }
  return { block: Uint8Array.from([...size, ...body]), content: Uint8Array.from(content) };
}

/** Element after element, without the size before them; undefined where they are none, or are not as long. */
function readSlowly(body: Uint8Array, size: number): Buffer | undefined {
  const content: number[] = [];
  const number = (at: number, bytes: number): number => {
    let value = 0;
    for (let i = 0; i < bytes; i++) value += body[at + i] * 256 ** i;
    return value; // not a number where the body ends
  };
  for (let at = 0; at < body.length;) {
    const tag = body[at++];
    const kind = tag & 3;
    if (kind === 0) {
      const bytes = Math.max(0, (tag >> 2) - 59);
      const length = 1 + (bytes === 0 ? tag >> 2 : number(at, bytes));
      at += bytes;
      if (!(at + length <= body.length && content.length + length <= size)) return undefined;
      content.push(...body.subarray(at, at + length));
      at += length;
      continue;
    }
    const bytes = kind === 3 ? 4 : kind;
    const offset = (kind === 1 ? (tag >> 5) << 8 : 0) + number(at, bytes);
    const length = kind === 1 ? 4 + ((tag >> 2) & 7) : 1 + (tag >> 2);
    at += bytes;
    if (!(offset >= 1 && offset <= content.length && content.length + length <= size)) return undefined;
    for (let i = 0; i < length; i++) content.push(content[content.length - offset]);
  }
  return content.length === size ? Buffer.from(content) : undefined;
}

const literal = fc.record({
  kind: fc.constant('literal' as const),
  length: fc.oneof(fc.integer({ min: 1, max: 70 }), fc.constantFrom(255, 256, 257, 258, 700, 5000)),
  lengthBytes: fc.constantFrom(0 as const, 1 as const, 2 as const, 3 as const, 4 as const),
});
const copy = fc.record({
  kind: fc.constant('copy' as const),
  length: fc.integer({ min: 1, max: 64 }),
  offset: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 4000 })),
  offsetBytes: fc.constantFrom(1 as const, 2 as const, 4 as const),
});
const elements = fc.array(fc.oneof(literal, copy), { maxLength: 40 });

describe('pages of Snappy', () => {
  it('are what every kind of element says, in any order', () => {
    fc.assert(
      fc.property(elements, (own) => {
        const { block, content } = blockOf(own);
        expect(Buffer.compare(unsnap(block, content.length), content)).toBe(0);
      }),
      { numRuns: 500 },
    );
  });

  it('are refused where they are cut short, or another size is claimed', () => {
    fc.assert(
      fc.property(elements, fc.nat(), (own, cut) => {
        const { block, content } = blockOf([{ kind: 'literal', length: 3, lengthBytes: 0 }, ...own]);
        expect(() => unsnap(block.subarray(0, cut % block.length), content.length)).toThrow('compressed wrongly');
        expect(() => unsnap(block, content.length + 1)).toThrow('compressed wrongly');
      }),
    );
  });

  it('are read, or refused, byte for byte, as the format is described, whatever byte is changed', () => {
    fc.assert(
      fc.property(elements, fc.nat(), fc.integer({ min: 1, max: 255 }), (own, at, flip) => {
        const { block, content } = blockOf([{ kind: 'literal', length: 9, lengthBytes: 0 }, ...own]);
        const headBytes = content.length < 128 ? 1 : content.length < 16_384 ? 2 : 3;
        block[headBytes + (at % (block.length - headBytes))] ^= flip;
        const expected = readSlowly(block.subarray(headBytes), content.length);
        let found: Uint8Array | undefined;
        try {
          found = unsnap(block, content.length);
        } catch (error) {
          expect((error as Error).message).toBe('a page is compressed wrongly');
        }
        expect(found && Buffer.from(found)).toEqual(expected);
      }),
      { numRuns: 1000 },
    );
  });

  it('are refused where a literal claims 4 GiB', () => {
    expect(() => unsnap(Uint8Array.from([5, 63 << 2, 255, 255, 255, 255, 1, 2, 3, 4, 5]), 5)).toThrow('compressed wrongly');
  });
});
