/**
 * Which entry makes room. What the run's plan says of the next reading of an entry is known for entries that this process has read or written; of the
 * others nobody knows more than when they were used.
 *
 *   goes first                                                                  goes last
 *   unplanned, used longest ago … used last │ planned, never again … needed last … needed soonest
 *
 * Farthest need first is the best that a cache can do (L. A. Belady, "A study of replacement algorithms for a virtual-storage computer", 1966). Of a
 * data set that is twice the cache, half of each epoch is in it then; by the order of use alone it is a seventh, where epochs are shuffled anew.
 */
import type { Need } from '../core/need.js';
import { CACHE_LIMITS } from './limits.js';

export interface Known {
  readonly fileBytes: number;
  /** The last look at the directory that found it. */
  seenBy: number;
}

export interface EvictionOrder {
  readonly size: number;
  readonly bytes: number;
  has(name: string): boolean;
  peek(name: string): Known | undefined;
  /** `need` undefined: unplanned, and used last of those. */
  set(name: string, known: Known, need: Need | undefined): void;
  /** What another process has just written: planned as if it were this one's latest, since it knows of no plan but its own. */
  setOther(name: string, known: Known): void;
  /**
   * It is used. Without a need, what is planned stays so. `isPart`: others may need the rest, and sooner, so that the sooner of what is planned counts.
   * Undefined: there is none.
   */
  use(name: string, need: Need | undefined, isPart?: boolean): Known | undefined;
  delete(name: string): boolean;
  /** Takes out the one that goes first; undefined where nothing is left. */
  pop(): string | undefined;
  /** May be changed meanwhile. */
  names(): Generator<string, void>;
}

export function createEvictionOrder(): EvictionOrder {
  /** From the one used longest ago on. */
  const unplanned = new Map<string, Known>();
  /** Where the oldest of them is: a new iteration would pass over all that were deleted since the map was last made anew. */
  let oldestFirst = unplanned.keys();
  let unplannedBytes = 0;
  const planned = new Map<string, Known & { readonly span: number }>();
  /** The names of each span of the plan's clock, from the one used longest ago on. */
  const spans = new Map<number, Set<string>>();
  let plannedBytes = 0;
  let latest: Need | undefined;

  const unplan = (name: string): Known | undefined => {
    const known = planned.get(name);
    if (known === undefined) return undefined;
    planned.delete(name);
    plannedBytes -= known.fileBytes;
    const names = spans.get(known.span);
    names?.delete(name);
    if (names?.size === 0) spans.delete(known.span);
    return known;
  };
  const take = (name: string): Known | undefined => {
    const known = unplanned.get(name);
    if (known === undefined) return unplan(name);
    unplanned.delete(name);
    unplannedBytes -= known.fileBytes;
    return known;
  };
  const add = (name: string, known: Known): void => {
    unplanned.set(name, known);
    unplannedBytes += known.fileBytes;
  };
  const oldest = (): string | undefined => {
    if (unplanned.size === 0) return undefined;
    const next = oldestFirst.next();
    if (next.done !== true) return next.value;
    oldestFirst = unplanned.keys(); // it had come to the end before the others were added
    return oldestFirst.next().value;
  };
  const plan = (name: string, { fileBytes, seenBy }: Known, need: Need): void => {
    const span = spanOf(need.next);
    planned.set(name, { fileBytes, seenBy, span });
    plannedBytes += fileBytes;
    const names = spans.get(span);
    if (names === undefined) spans.set(span, new Set([name]));
    else names.add(name);
  };
  const set = (name: string, known: Known, need: Need | undefined): void => {
    take(name);
    if (need === undefined) add(name, known);
    else plan(name, known, need);
  };
  /** What was not read when the plan said is not read as planned: it takes its chance among the unplanned. */
  const unplanOverdue = (): void => {
    if (latest === undefined) return;
    const overdue = spanOf(latest.at) - CACHE_LIMITS.overdueSpans;
    for (const [span, names] of spans) {
      if (span >= overdue) continue;
      for (const name of names) {
        const known = unplan(name);
        if (known !== undefined) add(name, known);
      }
    }
  };

  return {
    get size() {
      return unplanned.size + planned.size;
    },
    get bytes() {
      return unplannedBytes + plannedBytes;
    },
    has: (name) => planned.has(name) || unplanned.has(name),
    peek: (name) => planned.get(name) ?? unplanned.get(name),
    set: (name, known, need) => {
      latest = need ?? latest;
      set(name, known, need);
    },
    setOther: (name, known) => set(name, known, latest),
    use: (name, need, isPart = false) => {
      if (need === undefined) {
        if (planned.has(name)) return planned.get(name);
        const used = take(name);
        if (used !== undefined) add(name, used);
        return used;
      }
      latest = need;
      const { span = -Infinity } = planned.get(name) ?? {};
      if (isPart && span > spanOf(need.at) && span <= spanOf(need.next)) return planned.get(name);
      const known = take(name);
      if (known !== undefined) plan(name, known, need);
      return known;
    },
    delete: (name) => take(name) !== undefined,
    pop: () => {
      unplanOverdue();
      const name =
        oldest() ??
        spans
          .get(Math.max(...spans.keys()))
          ?.values()
          .next().value;
      if (name !== undefined) take(name);
      return name;
    },
    names: function* () {
      yield* unplanned.keys();
      yield* planned.keys();
    },
  };
}

/** So few that the farthest is found by a look at all of them. */
function spanOf(time: number): number {
  return Math.floor(time * CACHE_LIMITS.spansPerEpoch);
}
