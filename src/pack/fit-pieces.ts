/**
 * Best-fit decreasing: pieces of documents go into as few sequences as this simple rule finds, the largest first, each into the sequence that it fills best.
 * Near-linear: sizes are sorted by counting, and the sequence with the least sufficient room is found by a table.
 *
 *   pieces, in order of place   5 3 8 2 6          length 8
 *   decreasing                  8 | 6 | 5 | 3 → beside 5 | 2 → beside 6
 *   sequences                   [5 3] [8] [2 6]     by the place of the piece that opened them: 5, 8, 6
 *
 * Source: Ding et al., "Fewer Truncations Improve Language Modeling" (ICML 2024), section 3; the rule itself is older (Johnson, 1973).
 *
 * **Order.** Which sequence comes first must say nothing of the sizes in it, or a training run would see long documents early. A sequence stands where the
 * piece stands that opened it, its largest: every sequence has exactly one, and in a shuffled window the place of a document does not depend on its size.
 * (The place of the *first* piece would not do: the more pieces a sequence has, the earlier their first one is.) For the same reason pieces of one size are not
 * taken in order of place, but in one that is mixed: the first of them fill what others opened, and the last open sequences. Pieces stand in a sequence in order
 * of place.
 */
import { deriveKey } from '../core/keyed-random.js';
import { createPermutation } from '../core/permutation.js';
import { RoomTable } from './room-table.js';

/** Of pieces that have one size. It need not differ from group to group: places are shuffled already. */
const TURNS = deriveKey('packing');

export interface FittedPieces {
  readonly sequences: number;
  /** Pieces by sequence; those of sequence s are [bounds[s], bounds[s + 1]). */
  readonly pieces: Int32Array;
  /** [sequences + 1] */
  readonly bounds: Int32Array;
}

/** `sizes`: of the pieces in order of place, each from 1 to `length`. */
export function fitPieces(sizes: Int32Array, length: number): FittedPieces {
  const count = sizes.length;
  const table = new RoomTable(length, count);
  const sequenceOf = new Int32Array(count);
  /** The piece that opened a sequence. */
  const openers = new Int32Array(count);
  let sequences = 0;
  for (const piece of byDecreasingSize(sizes, length)) {
    const size = sizes[piece];
    const room = table.leastRoom(size);
    const sequence = room < 0 ? sequences++ : table.take(room);
    if (room < 0) openers[sequence] = piece;
    const left = (room < 0 ? length : room) - size;
    if (left > 0) table.add(sequence, left);
    sequenceOf[piece] = sequence;
  }
  return inOrder(sequenceOf, openers.subarray(0, sequences));
}

/** Pieces of one size in mixed order. */
function byDecreasingSize(sizes: Int32Array, sizeMax: number): Int32Array {
  const starts = new Int32Array(sizeMax + 2);
  for (const size of sizes) starts[sizeMax - size + 1]++;
  for (let i = 1; i < starts.length; i++) starts[i] += starts[i - 1];
  const sorted = new Int32Array(sizes.length);
  const turns = createPermutation(TURNS, sizes.length);
  for (let turn = 0; turn < sizes.length; turn++) {
    const piece = turns.at(turn);
    sorted[starts[sizeMax - sizes[piece]]++] = piece;
  }
  return sorted;
}

/** Sequences by the place of their openers, pieces in order of place. */
function inOrder(sequenceOf: Int32Array, openers: Int32Array): FittedPieces {
  const count = sequenceOf.length;
  const places = new Int32Array(openers.length);
  let sequences = 0;
  for (let piece = 0; piece < count; piece++) {
    const sequence = sequenceOf[piece];
    if (openers[sequence] === piece) places[sequence] = sequences++;
  }
  const bounds = new Int32Array(sequences + 1);
  for (const sequence of sequenceOf) bounds[places[sequence] + 1]++;
  for (let i = 1; i <= sequences; i++) bounds[i] += bounds[i - 1];
  const ends = bounds.slice(0, sequences);
  const pieces = new Int32Array(count);
  for (let piece = 0; piece < count; piece++) pieces[ends[places[sequenceOf[piece]]]++] = piece;
  return { sequences, pieces, bounds };
}
