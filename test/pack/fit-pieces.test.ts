import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fitPieces } from '../../src/pack/fit-pieces.js';
import { RoomTable } from '../../src/pack/room-table.js';

/** Best-fit decreasing as one would write it down: every sequence is looked at for every piece. */
function roomsByHand(sizes: readonly number[], length: number): number[] {
  const rooms: number[] = [];
  for (const size of sizes.toSorted((a, b) => b - a)) {
    const best = rooms.reduce((found, room, i) => (room >= size && (found < 0 || room < rooms[found]) ? i : found), -1);
    if (best < 0) rooms.push(length - size);
    else rooms[best] -= size;
  }
  return rooms.toSorted((a, b) => a - b);
}

const sizesOf = (length: number): fc.Arbitrary<number[]> => fc.array(fc.integer({ min: 1, max: length }), { maxLength: 200 });

describe('fitting pieces', () => {
  it('is best-fit decreasing: the same rooms are left as by hand', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(1, 2, 31, 32, 33, 100, 1023, 1024, 1025, 40_000).chain((length) => fc.tuple(fc.constant(length), sizesOf(length))),
        ([length, sizes]) => {
          const { sequences, pieces, bounds } = fitPieces(Int32Array.from(sizes), length);
          const rooms = Array.from(
            { length: sequences },
            (_, s) => length - sum([...pieces.subarray(bounds[s], bounds[s + 1])].map((piece) => sizes[piece])),
          );
          expect(rooms.toSorted((a, b) => a - b)).toEqual(roomsByHand(sizes, length));
          expect([...pieces].toSorted((a, b) => a - b)).toEqual(sizes.map((_, piece) => piece));
        },
      ),
    );
  });

  it('orders sequences by the piece that opened them, their largest, and pieces by place', () => {
    fc.assert(
      fc.property(sizesOf(50), (sizes) => {
        const { sequences, pieces, bounds } = fitPieces(Int32Array.from(sizes), 50);
        const own = Array.from({ length: sequences }, (_, s) => [...pieces.subarray(bounds[s], bounds[s + 1])]);
        for (const list of own) expect(list).toEqual(list.toSorted((a, b) => a - b));
        // where several are the largest, nobody sees which one it was
        const openers = own.flatMap((list) => {
          const largest = list.filter((piece) => sizes[piece] === Math.max(...list.map((other) => sizes[other])));
          return largest.length === 1 ? largest : [];
        });
        expect(openers).toEqual(openers.toSorted((a, b) => a - b));
      }),
    );
  });
});

describe('the table of rooms', () => {
  it('finds the least room that is enough, whatever was added and taken before', () => {
    const steps = fc.array(fc.record({ add: fc.boolean(), size: fc.integer({ min: 1, max: 3000 }) }), { maxLength: 300 });
    fc.assert(
      fc.property(steps, fc.constantFrom(3000, 4095, 4096, 70_000), (all, roomMax) => {
        const table = new RoomTable(roomMax, all.length);
        const rooms = new Map<number, number>();
        for (const [sequence, { add, size }] of all.entries()) {
          const least = Math.min(...[...rooms.values()].filter((room) => room >= size), Infinity);
          expect(table.leastRoom(size)).toBe(least === Infinity ? -1 : least);
          if (add) {
            table.add(sequence, size);
            rooms.set(sequence, size);
          } else if (least < Infinity) {
            const taken = table.take(least);
            expect(rooms.get(taken)).toBe(least);
            rooms.delete(taken);
          }
        }
      }),
    );
  });
});

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
