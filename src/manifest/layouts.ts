/**
 * Layouts in a few bytes each, whatever a format keeps in them: the layouts of a source differ in their numbers only, so that the text between the
 * numbers (the shape) is kept once, and of numbers the differences from the unit before.
 *
 *   {"startByte":4,"codec":"ZSTD"}   ──▶   shape 0: {"startByte":·,"codec":"ZSTD"}, numbers: 4
 *   {"startByte":904,"codec":"ZSTD"} ──▶   shape 0,                                 numbers: +900
 */
import type { JsonValue } from '../core/canonical-json.js';
import type { BytesColumnBuilder } from './columns.js';

/** A layout, taken apart. */
export interface SplitLayout {
  /** JSON text with GAP in place of each whole number. */
  readonly shape: string;
  readonly numbers: readonly number[];
}

/** No JSON text holds this character: in strings it is escaped. */
const GAP = '\0';
const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g;
/** Twice the difference of two numbers below this, and a sign, are exact in a double. */
const NUMBERS_END = 2 ** 51;

export function splitLayout(layout: JsonValue): SplitLayout {
  const numbers: number[] = [];
  const shape = JSON.stringify(layout).replaceAll(STRING_OR_NUMBER, (token) => {
    const value = Number(token);
    const plain = !token.startsWith('"') && Number.isInteger(value) && value >= 0 && value < NUMBERS_END && String(value) === token;
    if (!plain) return token;
    numbers.push(value);
    return GAP;
  });
  return { shape, numbers };
}

export function joinLayout({ shape, numbers }: SplitLayout): JsonValue {
  const [first, ...rest] = shape.split(GAP);
  return JSON.parse(rest.reduce((text, part, i) => text + String(numbers[i]) + part, first)) as JsonValue;
}

/** Writes the layouts of shards: of each the shard's own, then those of its units. */
export class LayoutWriter {
  readonly #shapes = new Map<string, number>();

  /** In the order of the numbers that stand for them. */
  get shapes(): readonly string[] {
    return [...this.#shapes.keys()];
  }

  write(layouts: Iterable<SplitLayout>, to: BytesColumnBuilder): void {
    let previous: SplitLayout | undefined;
    for (const layout of layouts) {
      const { shape, numbers } = layout;
      let index = this.#shapes.get(shape);
      if (index === undefined) this.#shapes.set(shape, (index = this.#shapes.size));
      to.addVarint(index);
      const base = previous?.shape === shape ? previous.numbers : undefined;
      for (const [i, number] of numbers.entries()) to.addVarint(zigzag(number - (base?.[i] ?? 0)));
      previous = layout;
    }
    to.endValue();
  }
}

/** What `LayoutWriter.write` wrote of a shard, so many layouts. Errors: `Error`, where that is not what the bytes are. */
export function readLayouts(bytes: Uint8Array, shapes: readonly string[], count: number): SplitLayout[] {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let unit = 1; at < bytes.length; unit *= 128) {
      const byte = bytes[at++];
      if (byte < 128) return value + byte * unit;
      value += (byte - 128) * unit;
    }
    throw new Error('the layouts of a shard end early');
  };
  const layouts: SplitLayout[] = [];
  for (let i = 0; i < count; i++) {
    const shape = shapes.at(varint());
    if (shape === undefined) throw new Error('a layout of no known shape');
    const previous = layouts.at(-1);
    const base = previous?.shape === shape ? previous.numbers : undefined;
    const numbers = Array.from({ length: gapsOf(shape) }, (_, j) => unzigzag(varint()) + (base?.[j] ?? 0));
    layouts.push({ shape, numbers });
  }
  return layouts;
}

function gapsOf(shape: string): number {
  let gaps = 0;
  for (let at = shape.indexOf(GAP); at >= 0; at = shape.indexOf(GAP, at + 1)) gaps++;
  return gaps;
}

/** 0, −1, 1, −2 … become 0, 1, 2, 3 … */
function zigzag(value: number): number {
  return value < 0 ? -2 * value - 1 : 2 * value;
}

function unzigzag(value: number): number {
  return value % 2 === 1 ? -(value + 1) / 2 : value / 2;
}
