/**
 * Which ranges of which objects are in a cache, as far as this process has seen: a range that nobody read as such may lie in others that were. The pass over
 * a tar's headers reads most of it, in other cuts than the samples.
 */
import { lowerBound } from '../core/lower-bound.js';
import type { ByteRange } from './store.js';

export interface HeldLimits {
  /** Of all objects together; the object that was added to longest ago is forgotten first. */
  readonly rangesMax: number;
  /** What is read beside the wanted bytes, at most. */
  readonly besideBytesMax: number;
  /** Of the wanted bytes, what may lie in no held range. */
  readonly gapShareMax: number;
  /** Each is a request. */
  readonly gapsMax: number;
}

export interface Cover {
  /** Ascending. */
  readonly held: readonly ByteRange[];
  /** What is in none of them. */
  readonly gaps: readonly ByteRange[];
}

export class HeldRanges {
  readonly #limits: HeldLimits;
  /** By object and version, in the order in which they were last added to; each ascending, no range within another. */
  readonly #objects = new Map<string, ByteRange[]>();
  #count = 0;

  constructor(limits: HeldLimits) {
    this.#limits = limits;
  }

  add(object: string, { startByte, endByte }: ByteRange): void {
    const held = this.#objects.get(object) ?? [];
    const at = firstNotBefore(held, startByte);
    const before = held.at(at - 1);
    const isWithin =
      (at > 0 && before !== undefined && before.endByte >= endByte) ||
      (held.at(at)?.startByte === startByte && held[at].endByte >= endByte);
    if (!isWithin) {
      let end = at;
      while (end < held.length && held[end].endByte <= endByte) end++;
      held.splice(at, end - at, { startByte, endByte });
      this.#count += 1 - (end - at);
    }
    this.#objects.delete(object);
    this.#objects.set(object, held);
    for (const [oldest, ranges] of this.#objects) {
      if (this.#count <= this.#limits.rangesMax) break;
      this.#objects.delete(oldest);
      this.#count -= ranges.length;
    }
  }

  /** As few ranges as hold what is held of `wanted`; undefined where that is too little, or too much is beside it in them. */
  cover(object: string, wanted: ByteRange): Cover | undefined {
    const ranges = this.#objects.get(object);
    if (ranges === undefined) return undefined;
    const { besideBytesMax, gapShareMax, gapsMax } = this.#limits;
    const wantedBytes = wanted.endByte - wanted.startByte;
    const held: ByteRange[] = [];
    const gaps: ByteRange[] = [];
    let heldBytes = 0;
    let gapBytes = 0;
    for (let covered = wanted.startByte; covered < wanted.endByte;) {
      // starts and ends ascend alike: the last that starts early enough reaches furthest
      const after = firstNotBefore(ranges, covered + 1);
      const next = after === 0 ? undefined : ranges[after - 1];
      if (next !== undefined && next.endByte > covered) {
        held.push(next);
        heldBytes += next.endByte - next.startByte;
        covered = next.endByte;
      } else {
        const endByte = Math.min(ranges.at(after)?.startByte ?? wanted.endByte, wanted.endByte);
        gaps.push({ startByte: covered, endByte });
        gapBytes += endByte - covered;
        covered = endByte;
      }
      if (heldBytes > wantedBytes + besideBytesMax || gapBytes > gapShareMax * wantedBytes || gaps.length > gapsMax) return undefined;
    }
    return { held, gaps };
  }

  /** All ranges of an object. */
  forget(object: string): void {
    this.#count -= this.#objects.get(object)?.length ?? 0;
    this.#objects.delete(object);
  }
}

/** The first range that does not start before `byte`. */
function firstNotBefore(ranges: readonly ByteRange[], byte: number): number {
  return lowerBound(ranges.length, (i) => ranges[i].startByte < byte);
}
