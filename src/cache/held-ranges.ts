/**
 * Which ranges of which objects are in the cache, as the directory said when the object was first asked for, and as this process has seen since: a range that
 * nobody read as such may lie in others that were. The pass over a tar's headers reads all of it, in other cuts than the samples.
 */
import type { ByteRange } from '../core/byte-range.js';
import { lowerBound } from '../core/lower-bound.js';

export interface HeldLimits {
  /** Of all objects together, each of which counts as one more; the object that was added to longest ago is forgotten first. */
  readonly heldRangesMax: number;
  /** Each is a file to open. */
  readonly partsMax: number;
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
  /** By object, in the order in which they were last added to; each ascending, no range within another. */
  readonly #objects = new Map<string, ByteRange[]>();
  #count = 0;

  constructor(limits: HeldLimits) {
    this.#limits = limits;
  }

  /** Whether anything was said of an object, if only that there is nothing. */
  knows(object: string): boolean {
    return this.#objects.has(object);
  }

  /** All that there is of an object. */
  learn(object: string, ranges: readonly ByteRange[]): void {
    this.forget(object);
    this.#objects.set(object, []);
    this.#count++;
    this.#trim();
    for (const range of [...ranges].sort((a, b) => a.startByte - b.startByte || b.endByte - a.endByte)) this.add(object, range);
  }

  /** Of an object that is known: of another one, there may be more. */
  add(object: string, { startByte, endByte }: ByteRange): void {
    const held = this.#objects.get(object);
    if (held === undefined) return;
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
    this.#trim();
  }

  /** It is gone. */
  remove(object: string, startByte: number): void {
    const held = this.#objects.get(object);
    const at = held === undefined ? 0 : firstNotBefore(held, startByte);
    if (held?.at(at)?.startByte !== startByte) return;
    held.splice(at, 1);
    this.#count--;
  }

  /** As few ranges as hold what is held of `wanted`; undefined where that is too little, or in too many. */
  cover(object: string, wanted: ByteRange): Cover | undefined {
    const ranges = this.#objects.get(object);
    if (ranges === undefined) return undefined;
    const { partsMax, gapShareMax, gapsMax } = this.#limits;
    const wantedBytes = wanted.endByte - wanted.startByte;
    const held: ByteRange[] = [];
    const gaps: ByteRange[] = [];
    let gapBytes = 0;
    for (let covered = wanted.startByte; covered < wanted.endByte;) {
      // starts and ends ascend alike: the last that starts early enough reaches furthest
      const after = firstNotBefore(ranges, covered + 1);
      const next = after === 0 ? undefined : ranges[after - 1];
      if (next !== undefined && next.endByte > covered) {
        held.push(next);
        covered = next.endByte;
      } else {
        const endByte = Math.min(ranges.at(after)?.startByte ?? wanted.endByte, wanted.endByte);
        gaps.push({ startByte: covered, endByte });
        gapBytes += endByte - covered;
        covered = endByte;
      }
      if (held.length > partsMax || gapBytes > gapShareMax * wantedBytes || gaps.length > gapsMax) return undefined;
    }
    return { held, gaps };
  }

  /** All ranges of an object. */
  forget(object: string): void {
    const held = this.#objects.get(object);
    if (held === undefined) return;
    this.#count -= held.length + 1;
    this.#objects.delete(object);
  }

  #trim(): void {
    for (const oldest of this.#objects.keys()) {
      if (this.#count <= this.#limits.heldRangesMax) break;
      this.forget(oldest);
    }
  }
}

/** The first range that does not start before `byte`. */
function firstNotBefore(ranges: readonly ByteRange[], byte: number): number {
  return lowerBound(ranges.length, (i) => ranges[i].startByte < byte);
}
