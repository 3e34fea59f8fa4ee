import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { textLines } from '../../sidecar/commands/show.js';
import { printable, printableJson } from '../../sidecar/printable.js';

/** What a terminal obeys, or what changes how a line reads. */
const DRIVES = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;

describe('printable text', () => {
  it.each([
    ['\u001b[2J\u001b]0;title\u0007', String.raw`\u{1b}[2J\u{1b}]0;title\u{7}`],
    ['a\r\n\tb', String.raw`a\r\n\tb`],
    ['\u009b31m', String.raw`\u{9b}31m`],
    ['\u202egnp.exe\u2066\u200f', String.raw`\u{202e}gnp.exe\u{2066}\u{200f}`],
    ['\u2028\u{e0041}\ud800\u007f', String.raw`\u{2028}\u{e0041}\u{d800}\u{7f}`],
    [String.raw`\u{1b} C:\new`, String.raw`\\u{1b} C:\\new`],
    ['Grüße, 世界 🙂', 'Grüße, 世界 🙂'],
  ])('%j', (text, expected) => expect(printable(text)).toBe(expected));

  it('drives no terminal, and says what it was', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const shown = printable(text);
        const back = shown.replace(/\\(\\|n|r|t|u\{([0-9a-f]+)\})/g, (_, what: string, code?: string) =>
          code === undefined ? { '\\': '\\', n: '\n', r: '\r', t: '\t' }[what]! : String.fromCodePoint(Number.parseInt(code, 16)),
        );
        return !DRIVES.test(shown) && back === text;
      }),
    );
  });

  it('JSON stays the same value', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
        const json = printableJson(value);
        expect(JSON.parse(json)).toEqual(JSON.parse(JSON.stringify(value)));
        return !DRIVES.test(json);
      }),
    );
    expect(printableJson({ text: '\u202e\u{e0041}\u009b' })).toBe(String.raw`{"text":"\u202e\udb40\udc41\u009b"}`);
  });
});

describe('lines of text', () => {
  /** Of every kind that is written otherwise, and none that marks what was left out. */
  const texts = fc.array(fc.constantFrom('a', 'é', '😀', ' ', '\n', '\\', '\u202e', '\u{e0041}'), { maxLength: 300 });

  it('are no longer than the width, no more than asked for, keep beginning and end, and cut no escape', () => {
    fc.assert(
      fc.property(texts, fc.integer({ min: 32, max: 80 }), fc.integer({ min: 0, max: 5 }), (characters, width, max) => {
        const units = characters.map(printable);
        const [whole, forwards, backwards] = [units.join(''), lengthsOf(units), lengthsOf(units.toReversed())];
        const lines = textLines(whole, width, max);
        expect(lines.length).toBeLessThanOrEqual(max);
        expect(lines.every((line) => Array.from(line).length <= width)).toBe(true);
        if (max === 0) return;
        const [head, tail = []] = lines
          .join('\n')
          .split(/\n… | … /)
          .map((part) => part.split('\n'));
        expect(whole.startsWith(head.join('')) && whole.endsWith(tail.join(''))).toBe(true);
        if (tail.length === 0) expect(head.join('')).toBe(whole);
        expect([...lengthsOf(head)].filter((length) => !forwards.has(length))).toEqual([]);
        expect([...lengthsOf(tail.toReversed())].filter((length) => !backwards.has(length))).toEqual([]);
      }),
    );
  });

  it('a text that is too long by an escape ends before it', () => {
    const text = printable(`${'x'.repeat(37)}\n${'y'.repeat(80)}`);
    expect(textLines(text, 38, 2)).toEqual(['x'.repeat(37), `… ${'y'.repeat(35)}`]);
  });
});

/** Of the first part, of the first two … */
function lengthsOf(parts: readonly string[]): Set<number> {
  let length = 0;
  return new Set([0, ...parts.map((part) => (length += part.length))]);
}
