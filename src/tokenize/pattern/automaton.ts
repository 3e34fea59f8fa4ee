/**
 * Turns patterns into one table-driven automaton each, over classes of code points that they share.
 *
 *   pattern ──Thompson──▶ NFA with priorities ──subsets, in order of priority──▶ DFA: state × class → state
 *
 * A DFA state is the ordered list of NFA threads that a backtracking engine could still be in, best first, cut off behind the first that has matched:
 * so the last match seen before the dead state is the one that backtracking would have found (R. Cox, "Regular Expression Matching: the Virtual Machine
 * Approach", 2009). A look-ahead of one character is a thread that consumes it, and then has matched *before* it.
 */
import { kindPlanes } from './character-kinds.js';
import type { CodePoints } from './code-points.js';
import { PatternUnsupported, type PatternNode } from './parse-pattern.js';

/** Rows of `transitions` have this many columns: a power of two over the classes of any known pattern. */
export const CLASSES_MAX = 64;
const STATES_MAX = 255;
export const DEAD = 0;

export interface Automaton {
  /** [states × CLASSES_MAX] next state. */
  readonly transitions: Uint8Array;
  readonly start: number;
  /** States from here on have matched: up to and with the character that led to them … */
  readonly firstMatch: number;
  /** … or, from here on, up to and without it. */
  readonly firstBack: number;
  /** [states] 1 where the end of the text is a match. */
  readonly matchesAtEnd: Uint8Array;
  /** [states × 16] ASCII characters that lead a state to itself: bit h of entry l stands for the character 16 h + l. */
  readonly loops: Uint8Array;
  /** [states] 1 where `loops` has two characters or more. */
  readonly hasLoop: Uint8Array;
  /** [16] likewise, the ASCII characters that no match starts with. */
  readonly noStarts: Uint8Array;
  /** As `kindPlanes` answers. */
  readonly kinds: Uint8Array | undefined;
}

/** Which class a code point is in: `blocks[(index[point >> 7] << 7) + (point & 127)]`. Class 0 is in no pattern. */
export interface ClassMap {
  readonly index: Uint16Array;
  readonly blocks: Uint8Array;
}

export interface Automata {
  readonly classes: ClassMap;
  readonly automata: readonly Automaton[];
}

/** Errors: `PatternUnsupported`. */
export function buildAutomata(patterns: readonly PatternNode[]): Automata {
  const programs = patterns.map(compileProgram);
  const sets = [...new Set(programs.flatMap(({ threads }) => threads.flatMap((thread) => (thread.type === 'set' ? [thread.set] : []))))];
  const { classes, members } = classify(sets);
  const classesOf = new Map(sets.map((set, i) => [set, members[i]]));
  return { classes, automata: programs.map((program) => determinize(program, classesOf, classes)) };
}

/** What a thread does: `next` are indices of threads. */
type Thread =
  | { readonly type: 'set'; readonly set: CodePoints; next: number; readonly atEnd: boolean }
  | { readonly type: 'fork'; next: number[] }
  | { readonly type: 'match' }
  | { readonly type: 'match-before' };

interface Program {
  readonly threads: readonly Thread[];
  readonly start: number;
}

const MATCH = 0;
const MATCH_BEFORE = 1;

function compileProgram(pattern: PatternNode): Program {
  const threads: Thread[] = [{ type: 'match' }, { type: 'match-before' }];
  const add = (thread: Thread): number => threads.push(thread) - 1;

  const compile = (node: PatternNode, next: number): number => {
    switch (node.type) {
      case 'set':
        return add({ type: 'set', set: node.set, next, atEnd: false });
      case 'sequence':
        return node.items.reduceRight((after, item) => compile(item, after), next);
      case 'choice':
        return add({ type: 'fork', next: node.items.map((item) => compile(item, next)) });
      case 'ahead':
        if (next !== MATCH) throw new PatternUnsupported('a pattern has a look-ahead before its end');
        return add({ type: 'set', set: node.set, next: MATCH_BEFORE, atEnd: node.end });
      case 'repeat': {
        const order = (enter: number, leave: number): number[] => (node.greedy ? [enter, leave] : [leave, enter]);
        let after = next;
        if (node.max === Infinity) {
          const loop: Thread = { type: 'fork', next: [] };
          const at = add(loop);
          loop.next = order(compile(node.item, at), next);
          after = at;
        } else {
          for (let i = node.min; i < node.max; i++) after = add({ type: 'fork', next: order(compile(node.item, after), next) });
        }
        for (let i = 0; i < node.min; i++) after = compile(node.item, after);
        return after;
      }
    }
  };
  return { start: compile(pattern, MATCH), threads };
}

/** Parts all code points into classes that no set tells apart, and says which classes each set has. */
function classify(sets: readonly CodePoints[]): { readonly classes: ClassMap; readonly members: ReadonlySet<number>[] } {
  const starts = [...new Set([0, ...sets.flat()])].filter((point) => point < 0x110000).sort((a, b) => a - b);
  const classOfPoint = new Uint8Array(0x110000);
  const known = new Map<string, number>([[sets.map(() => '0').join(''), 0]]);
  const members = sets.map(() => new Set<number>());
  const cursors = sets.map(() => 0);
  for (const [i, start] of starts.entries()) {
    const bits = sets.map((set, s) => {
      while (cursors[s] < set.length && set[cursors[s] + 1] <= start) cursors[s] += 2;
      return cursors[s] < set.length && set[cursors[s]] <= start ? '1' : '0';
    });
    const key = bits.join('');
    let id = known.get(key);
    if (id === undefined) known.set(key, (id = known.size));
    if (id >= CLASSES_MAX) throw new PatternUnsupported(`the patterns tell more than ${CLASSES_MAX} classes of characters apart`);
    for (const [s, bit] of bits.entries()) if (bit === '1') members[s].add(id);
    classOfPoint.fill(id, start, starts.at(i + 1) ?? 0x110000);
  }
  return { classes: toClassMap(classOfPoint), members };
}

/** Equal blocks of 128 code points are stored once. */
export function toClassMap(classOf: Uint8Array): ClassMap {
  const index = new Uint16Array(classOf.length >> 7);
  const blocks: Uint8Array[] = [];
  const known = new Map<string, number>();
  for (let block = 0; block < index.length; block++) {
    const content = classOf.subarray(block << 7, (block + 1) << 7);
    const key = Buffer.from(content.buffer, content.byteOffset, content.length).toString('latin1');
    let at = known.get(key);
    if (at === undefined) {
      at = blocks.push(content) - 1;
      known.set(key, at);
    }
    index[block] = at;
  }
  return { index, blocks: Uint8Array.from(Buffer.concat(blocks)) };
}

interface DraftState {
  /** Threads that wait for a character, best first. */
  readonly waiting: readonly number[];
  readonly kind: 'none' | 'match' | 'match-before';
  readonly next: number[];
}

function determinize({ threads, start }: Program, classesOf: ReadonlyMap<CodePoints, ReadonlySet<number>>, classes: ClassMap): Automaton {
  const drafts: DraftState[] = [];
  const known = new Map<string, number>();

  const stateOf = (entries: readonly number[]): number => {
    const { waiting, kind } = follow(threads, entries);
    const key = `${kind} ${waiting.join(' ')}`;
    let state = known.get(key);
    if (state === undefined) {
      state = drafts.push({ waiting, kind, next: [] }) - 1;
      if (drafts.length > STATES_MAX) throw new PatternUnsupported(`a pattern needs more than ${STATES_MAX} states`);
      known.set(key, state);
    }
    return state;
  };

  stateOf([]); // the dead state
  const first = stateOf([start]);
  if (drafts[first].kind !== 'none') throw new PatternUnsupported('a pattern matches the empty text');
  for (let state = 0; state < drafts.length; state++) {
    for (let cls = 0; cls < CLASSES_MAX; cls++) {
      const entries = drafts[state].waiting.flatMap((id) => {
        const thread = threads[id];
        return thread.type === 'set' && classesOf.get(thread.set)?.has(cls) === true ? [thread.next] : [];
      });
      drafts[state].next.push(stateOf(entries));
    }
  }
  return toTables(threads, drafts, first, classes);
}

/** Follows forks, in order; what comes after a match is worse than it, and is dropped. */
function follow(threads: readonly Thread[], entries: readonly number[]): Pick<DraftState, 'waiting' | 'kind'> {
  const waiting: number[] = [];
  const seen = new Set<number>();
  let kind: DraftState['kind'] = 'none';
  const visit = (id: number): void => {
    if (kind !== 'none' || seen.has(id)) return;
    seen.add(id);
    const thread = threads[id];
    if (thread.type === 'set') waiting.push(id);
    else if (thread.type === 'fork') thread.next.forEach(visit);
    else kind = thread.type;
  };
  entries.forEach(visit);
  return { waiting, kind };
}

/** Numbers the states: dead, no match, match, match before the last character. */
function toTables(threads: readonly Thread[], drafts: readonly DraftState[], first: number, classes: ClassMap): Automaton {
  const rank = { none: 0, match: 1, 'match-before': 2 };
  const order = drafts.map((_, i) => i).sort((a, b) => (a === 0 ? -1 : b === 0 ? 1 : rank[drafts[a].kind] - rank[drafts[b].kind] || a - b));
  const numberOf = new Map(order.map((draft, state) => [draft, state]));
  const count = (kind: DraftState['kind']): number => drafts.filter((draft) => draft.kind === kind).length;
  const transitions = new Uint8Array(drafts.length * CLASSES_MAX);
  const matchesAtEnd = new Uint8Array(drafts.length);
  for (const [state, draft] of order.entries()) {
    for (const [cls, next] of drafts[draft].next.entries()) transitions[state * CLASSES_MAX + cls] = numberOf.get(next) ?? DEAD;
    matchesAtEnd[state] = drafts[draft].waiting.some((id) => {
      const thread = threads[id];
      return thread.type === 'set' && thread.atEnd;
    })
      ? 1
      : 0;
  }
  const start = numberOf.get(first) ?? DEAD;
  const loops = new Uint8Array(drafts.length * 16);
  const hasLoop = new Uint8Array(drafts.length);
  const noStarts = new Uint8Array(16);
  for (let character = 0; character < 128; character++) {
    const bit = 1 << (character >> 4);
    for (let state = 1; state < drafts.length; state++) {
      if (transitions[state * CLASSES_MAX + classOf(classes, character)] !== state) continue;
      loops[state * 16 + (character & 15)] |= bit;
      hasLoop[state] = Math.min(2, hasLoop[state] + 1);
    }
    if (transitions[start * CLASSES_MAX + classOf(classes, character)] === DEAD) noStarts[character & 15] |= bit;
  }
  const firstMatch = count('none');
  const firstBack = firstMatch + count('match');
  const kinds = kindPlanes({
    start,
    dead: DEAD,
    next: (state, character) => transitions[state * CLASSES_MAX + classOf(classes, character)],
    found: (state) => (state < firstMatch ? 'stays' : state < firstBack ? 'behind' : 'before'),
  });
  return {
    transitions,
    start,
    firstMatch,
    firstBack,
    kinds,
    matchesAtEnd,
    loops,
    hasLoop: hasLoop.map((loops) => (loops === 2 ? 1 : 0)),
    noStarts,
  };
}

export function classOf({ index, blocks }: ClassMap, point: number): number {
  return blocks[(index[point >> 7] << 7) + (point & 127)];
}
