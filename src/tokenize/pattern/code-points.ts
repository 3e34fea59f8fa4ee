/** Sets of code points, as sorted ranges. */
import { UNICODE_TABLES } from '../unicode-tables.js';

/** `start, end, start, end, …`: half-open, ascending, without gaps of no width. */
export type CodePoints = readonly number[];

export const CODE_POINTS_END = 0x110000;

export function codePointsOf(...points: readonly number[]): CodePoints {
  return union(...points.map((point) => [point, point + 1]));
}

export function union(...sets: readonly CodePoints[]): CodePoints {
  const ranges: [start: number, end: number][] = [];
  for (const set of sets) for (let i = 0; i < set.length; i += 2) ranges.push([set[i], set[i + 1]]);
  ranges.sort((a, b) => a[0] - b[0]);
  const merged: number[] = [];
  for (const [start, end] of ranges) {
    if (merged.length > 0 && start <= merged[merged.length - 1]) merged[merged.length - 1] = Math.max(merged[merged.length - 1], end);
    else merged.push(start, end);
  }
  return merged;
}

export function complement(set: CodePoints): CodePoints {
  const ends = [0, ...set, CODE_POINTS_END];
  const ranges: number[] = [];
  for (let i = 0; i < ends.length; i += 2) if (ends[i] < ends[i + 1]) ranges.push(ends[i], ends[i + 1]);
  return ranges;
}

const tables = new Map<string, CodePoints>();

/**
 * A class by its name in a pattern: a general category (`L`, `Lu`), a script (`Han`), or one of `space`, `word`, `digit`, `numeric`, `punctuation`.
 * `undefined` for a class that has no table.
 */
export function unicodeClass(name: string): CodePoints | undefined {
  const known = tables.get(name);
  if (known !== undefined) return known;
  const encoded: string | undefined = Object.hasOwn(UNICODE_TABLES, name) ? UNICODE_TABLES[name as keyof typeof UNICODE_TABLES] : undefined;
  const members = encoded === undefined ? categoryGroup(name) : decode(encoded);
  if (members !== undefined) tables.set(name, members);
  return members;
}

/** `L` is the union of `Lu`, `Ll`, …. */
function categoryGroup(name: string): CodePoints | undefined {
  if (!/^[LMNPSZ]$/.test(name)) return undefined;
  const categories = Object.keys(UNICODE_TABLES).filter((table) => table.length === 2 && table.startsWith(name));
  return union(...categories.map((table) => unicodeClass(table) ?? []));
}

function decode(encoded: string): CodePoints {
  const set: number[] = [];
  let at = 0;
  for (const digits of encoded.split('.')) set.push((at += Number.parseInt(digits, 36)));
  return set;
}
