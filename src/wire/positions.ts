/**
 * Where the lanes stand after each batch of a message, as numbers: as text they were most of a header, which each batch made both sides write and read, and
 * few look at more than one of them.
 */

/** Of a lane in a source: group, window, document, token, delivered, credit (docs/wire.md). */
export const POSITION_NUMBERS = 6;
/** The last of them is the only one that can be below zero. */
const CREDIT = 5;

type Position = readonly [number, number, number, number, number, number];
/** By lane number, by source name, as in a cursor. */
type Lanes = Readonly<Record<string, Readonly<Record<string, Position>>>>;

/** What each batch of a message has positions of. */
export interface PositionsShape {
  readonly lanes: readonly number[];
  readonly sources: readonly string[];
}

/** All lanes of a stream have the same sources. */
export function positionsShapeOf(lanes: Lanes): PositionsShape {
  const [state = {}] = Object.values(lanes);
  return { lanes: Object.keys(lanes).map(Number), sources: Object.keys(state) };
}

export function samePositionsShape(a: PositionsShape, b: PositionsShape): boolean {
  return sameItems(a.lanes, b.lanes) && sameItems(a.sources, b.sources);
}

function sameItems<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index]);
}

/** Numbers of one batch. */
export function positionNumbers({ lanes, sources }: PositionsShape): number {
  return lanes.length * sources.length * POSITION_NUMBERS;
}

/** [batches × lanes × sources × 6] float64: each is an integer below 2 ** 53. */
export function positionsOf(batches: readonly Lanes[], shape: PositionsShape): Float64Array<ArrayBuffer> {
  const positions = new Float64Array(batches.length * positionNumbers(shape));
  let at = 0;
  for (const lanes of batches) {
    for (const lane of shape.lanes) {
      const state = lanes[lane];
      for (const source of shape.sources) {
        positions.set(state[source], at);
        at += POSITION_NUMBERS;
      }
    }
  }
  return positions;
}

/** Those of one batch. `frame`: as `positionsOf` made it, wherever it came to lie, and `checkPositions` found it. */
export function lanesOfPositions(frame: Uint8Array, batch: number, shape: PositionsShape): Record<string, Record<string, Position>> {
  const numbers = numbersIn(frame);
  let at = batch * positionNumbers(shape);
  const nextPosition = (): Position => {
    const start = at;
    at += POSITION_NUMBERS;
    return [numbers(start), numbers(start + 1), numbers(start + 2), numbers(start + 3), numbers(start + 4), numbers(start + CREDIT)];
  };
  return Object.fromEntries(
    shape.lanes.map((lane) => [String(lane), Object.fromEntries(shape.sources.map((source) => [source, nextPosition()]))]),
  );
}

/** What a frame has that is no position: a number that is no integer, or below zero where it is a count. */
export function oddPositionIn(frame: Uint8Array): number | undefined {
  const numbers = numbersIn(frame);
  for (let i = 0; i < frame.byteLength / Float64Array.BYTES_PER_ELEMENT; i++) {
    const number = numbers(i);
    if (!Number.isSafeInteger(number) || (number < 0 && i % POSITION_NUMBERS !== CREDIT)) return number;
  }
  return undefined;
}

/** A small frame may lie anywhere in a shared buffer, where no array of numbers can be. */
function numbersIn(frame: Uint8Array): (index: number) => number {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  return (index) => view.getFloat64(index * Float64Array.BYTES_PER_ELEMENT, true);
}
