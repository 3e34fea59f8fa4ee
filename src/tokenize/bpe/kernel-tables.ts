/**
 * Lays out a compiled tokenizer in memory that all worker threads share: they read it, and each takes a region of its own behind it.
 *
 *   memory   statics │ tables, descriptor │ a worker's cache, texts, ids │ another worker's │ …
 */
import { createSharedMemory, type SharedKernelMemory } from '../../core/kernel.js';
import { classOf, type ClassMap } from '../pattern/automaton.js';
import type { AddedToken } from './tokenizer-json.js';
import type { CompiledBpe } from './compile.js';
import type { BpeModel } from './model.js';
import { COMPOSITE, compositions, formClasses } from './normal-form.js';
import { findReachable } from './reachable-merges.js';

/** Posted to worker threads as it is. */
export interface KernelTables {
  readonly memory: SharedKernelMemory;
  /** Where the descriptor lies. */
  readonly descriptor: number;
  /** Where the tables end. */
  readonly end: number;
}

/** What the kernel's vector reads may run over an end by. */
export const SLACK = 64;
/** The kernel's own statics lie below this: it has a few constants only, which a test compares with `heapStart`. */
export const TABLES_START = 4096;
const NONE = 0xffffffff;
/** A token has 20 bits in the kernel's tables. */
const ID_MASK = 0xfffff;
/** … and a rank has 24. */
const RANKS_MAX = 2 ** 24;

/** Whether the kernel's tables have room for a model: four times the largest vocabulary there is today. */
export function fitsKernel({ model }: CompiledBpe): boolean {
  return model.idsEnd <= ID_MASK && model.merges.length / 3 <= RANKS_MAX;
}

/** For the thousand pairs that Unicode composes; it never gets more. */
const COMPOSITION_SLOTS = 2048;
const COMPOSITION_SHIFT = 21;

/** What `attach` reads. */
const DESCRIPTOR_WORDS = 29;
/** Of a level's record, in the order in which `split` and `match` read them. */
const LEVEL_WORDS = 11;
const PREFIXES = { none: 0, always: 1, 'unless-space': 2, 'unless-space-or-mark': 3 } as const;

export function createKernelTables(compiled: CompiledBpe): KernelTables {
  const layout = new Layout();
  const { model, automata, levels } = compiled;
  const levelRecords = new Uint32Array(LEVEL_WORDS * Math.max(1, levels.length));
  for (const [i, automaton] of automata.automata.entries()) {
    levelRecords.set(
      [
        layout.place(automaton.transitions),
        automaton.start,
        automaton.firstMatch,
        automaton.firstBack,
        layout.place(automaton.matchesAtEnd),
        layout.place(automaton.hasLoop),
        layout.place(automaton.loops),
        layout.place(automaton.noStarts),
        Number(levels[i].keepMatches),
        Number(levels[i].keepGaps),
        automaton.kinds === undefined || !levels[i].keepMatches ? 0 : layout.place(automaton.kinds),
      ],
      LEVEL_WORDS * i,
    );
  }
  const reachable = findReachable(model);
  const merges = mergeTable(reachable.merges, model);
  const words = wordTable(model, reachable.selfMade);
  const form = compiled.normalForm === 'none' ? undefined : formClasses(compiled.normalForm);
  const trie = compiled.matched.length === 0 ? undefined : tokenTrie(compiled.matched);
  const descriptor = layout.place(
    Uint32Array.of(
      layout.place(automata.classes.index),
      layout.place(automata.classes.blocks),
      layout.place(levelRecords),
      levels.length,
      layout.place(model.byteIds),
      model.style === 'bytes' ? layout.place(merges.bytePairs) : 0,
      layout.place(merges.slots),
      merges.slots.length / 2,
      merges.mergedIds === undefined ? 0 : layout.place(merges.mergedIds),
      layout.place(words.slots),
      words.bits,
      layout.place(words.places),
      layout.place(words.bytes),
      Number(model.wholeWords),
      Number(model.style === 'characters'),
      model.spaceId,
      form === undefined ? 0 : layout.place(form.index),
      form === undefined ? 0 : layout.place(form.blocks),
      form === undefined ? 0 : firstLead(form),
      form === undefined ? 0 : layout.place(compositionTable()),
      trie === undefined ? 0 : layout.place(trie.roots),
      trie === undefined ? 0 : layout.place(trie.nodes),
      trie === undefined ? 0 : layout.place(trie.starts),
      Number(trie?.beyondAscii ?? false),
      PREFIXES[compiled.prefix],
      Number(compiled.prefixFirstOnly),
      layout.place(byteMasks()),
      layout.place(merges.filter),
      merges.filterBits,
    ),
  );
  return { ...layout.toMemory(), descriptor };
}

/** The tables as they lie in memory, from TABLES_START on: nobody writes there any more. */
export function tablesImage({ memory, end }: Omit<KernelTables, 'descriptor'>): Uint8Array {
  return new Uint8Array(memory.buffer, TABLES_START, end - TABLES_START);
}

/** Tables from their image; `undefined` where the descriptor is not in it. Whatever else is wrong in it, the kernel cannot leave its memory: it traps. */
export function restoreKernelTables(image: Uint8Array, descriptor: number): KernelTables | undefined {
  const end = TABLES_START + image.length;
  if (descriptor % 16 !== 0 || descriptor < TABLES_START || descriptor + 4 * DESCRIPTOR_WORDS > end) return undefined;
  const memory = createSharedMemory(end);
  new Uint8Array(memory.buffer, TABLES_START).set(image);
  return { memory, end, descriptor };
}

/** Gives arrays their places, then writes them. */
class Layout {
  readonly #arrays: { readonly at: number; readonly array: Uint8Array | Uint16Array | Uint32Array | Int32Array }[] = [];
  #end = TABLES_START;

  place(array: Uint8Array | Uint16Array | Uint32Array | Int32Array): number {
    const at = this.#end;
    this.#arrays.push({ at, array });
    this.#end = (at + array.byteLength + SLACK + 15) & ~15;
    return at;
  }

  toMemory(): Omit<KernelTables, 'descriptor'> {
    const memory = createSharedMemory(this.#end);
    for (const { at, array } of this.#arrays) {
      new Uint8Array(memory.buffer, at, array.byteLength).set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    }
    return { memory, end: this.#end };
  }
}

/** The lowest byte that leads a code point which may say that a text is not in its form: to be composed does not. */
function firstLead(form: ClassMap): number {
  let point = 0x80;
  while ((classOf(form, point) & ~COMPOSITE) === 0) point++;
  return new TextEncoder().encode(String.fromCodePoint(point))[0];
}

/** Pairs of code points, 8 bytes a slot: second and first; 0: empty. Half full at most, with linear probing; the kernel's hash is the same. */
function compositionTable(): Uint32Array {
  const slots = new Uint32Array(2 * COMPOSITION_SLOTS);
  const triples = compositions();
  for (let i = 0; i < triples.length; i += 3) {
    const [first, second] = [triples[i + 1], triples[i + 2]];
    let slot = Math.imul(Math.imul(first, 0x9e3779b1) ^ second, 0x85ebca77) >>> COMPOSITION_SHIFT;
    while (slots[2 * slot] !== 0) slot = (slot + 1) & (COMPOSITION_SLOTS - 1);
    slots[2 * slot] = second;
    slots[2 * slot + 1] = first;
  }
  return slots;
}

/** [17 × 16] masks of the first n of 16 bytes. */
function byteMasks(): Uint8Array {
  return Uint8Array.from({ length: 17 * 16 }, (_, i) => ((i & 15) < i >> 4 ? 0xff : 0));
}

interface MergeTable {
  /** [slots × 2] as `rankOf` reads them. */
  readonly slots: Uint32Array;
  readonly filter: Uint8Array;
  readonly filterBits: number;
  /** [65536] ranks of the merges of two bytes, by first × 256 + second. */
  readonly bytePairs: Uint32Array;
  /** What the merge of a rank makes; `undefined` where it is the id that is the rank. */
  readonly mergedIds: Uint32Array | undefined;
}

/** Open addressing with linear probing, four fifths full, behind a filter of at least six bits a merge. */
function mergeTable(merges: Int32Array, { byteIds, style }: BpeModel): MergeTable {
  const count = merges.length / 3;
  const size = Math.max(16, Math.ceil(1.25 * count));
  const slots = new Uint32Array(2 * size).fill(NONE);
  const filterBits = Math.max(7, Math.ceil(Math.log2(6 * count + 1)));
  const filter = new Uint8Array(2 ** (filterBits - 3));
  const bytePairs = new Uint32Array(65_536).fill(NONE);
  const byteOf = new Map(style === 'bytes' ? Array.from(byteIds, (id, byte) => [id, byte]) : []);
  // Most files number tokens in the order of their merges: then an id says as much as a rank. (Two merges of one token do not compete: see reachable-merges.ts.)
  const inOrder = merges.every((id, i) => i % 3 !== 2 || i === 2 || id >= merges[i - 3]);
  for (let merge = 0; merge < count; merge++) {
    const [left, right, merged] = [merges[3 * merge], merges[3 * merge + 1], merges[3 * merge + 2]];
    const rank = inOrder ? merged : merge;
    const hash = Math.imul(Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca77), 0xc2b2ae3d) >>> 0;
    const bit = hash >>> (32 - filterBits);
    filter[bit >>> 3] |= 1 << (bit & 7);
    let slot = Math.floor((hash * size) / 2 ** 32);
    // the last of equal pairs counts, as in the reference
    while (slots[2 * slot] !== NONE && !((slots[2 * slot] & ID_MASK) === right && (slots[2 * slot + 1] & ID_MASK) === left))
      slot = slot + 1 === size ? 0 : slot + 1;
    slots[2 * slot] = right | ((rank & 0xfff) << 20);
    slots[2 * slot + 1] = left | ((rank >>> 12) << 20);
    const [first, second] = [byteOf.get(left), byteOf.get(right)];
    if (first !== undefined && second !== undefined) bytePairs[(first << 8) | second] = rank;
  }
  const mergedIds = inOrder ? undefined : Uint32Array.from({ length: count }, (_, merge) => merges[3 * merge + 2]);
  return { slots, filter, filterBits, bytePairs, mergedIds };
}

/** Of UTF-8. */
const CHARACTER_BYTES_MAX = 4;

interface WordTable {
  readonly slots: Uint32Array;
  readonly bits: number;
  readonly places: Int32Array;
  readonly bytes: Uint8Array;
}

/** Tokens that are looked for by their bytes: characters, or whole words of which merging would make something else. */
function wordTable({ style, wholeWords, tokenBytes, tokenPlaces, idsEnd }: BpeModel, selfMade: Uint8Array): WordTable {
  const isSought = (id: number): boolean => {
    const length = tokenPlaces[2 * id + 1];
    return length > 0 && (style === 'characters' ? length <= CHARACTER_BYTES_MAX : wholeWords && selfMade[id] === 0);
  };
  const ids = Array.from({ length: idsEnd }, (_, id) => id).filter(isSought);
  const bits = Math.max(4, Math.ceil(Math.log2(1.5 * ids.length + 1)));
  const slots = new Uint32Array(2 ** bits).fill(NONE);
  const mask = 2 ** bits - 1;
  for (const id of ids) {
    const hash = hashBytes(tokenBytes, tokenPlaces[2 * id], tokenPlaces[2 * id + 1]);
    let slot = hash & mask;
    while (slots[slot] !== NONE) slot = (slot + 1) & mask;
    slots[slot] = id | ((hash >>> 20) << 20);
  }
  return { slots, bits, places: tokenPlaces, bytes: tokenBytes };
}

/** FNV-1a, mixed, as in the kernel. */
function hashBytes(bytes: Uint8Array, start: number, length: number): number {
  let hash = 0x811c9dc5;
  for (let i = start; i < start + length; i++) hash = Math.imul(hash ^ bytes[i], 0x01000193);
  return Math.imul(hash ^ (hash >>> 15), 0x85ebca77) >>> 0;
}

interface TokenTrie {
  /** [256] the node of each first byte; 0: no token starts with it. */
  readonly roots: Uint32Array;
  /** [nodes × 4] byte, id + 1 or 0, first child, next sibling; node 0 is none. */
  readonly nodes: Uint32Array;
  /** [16] the first bytes that are ASCII: bit h of entry l stands for the byte 16 h + l. */
  readonly starts: Uint8Array;
  readonly beyondAscii: boolean;
}

function tokenTrie(tokens: readonly AddedToken[]): TokenTrie {
  const encoder = new TextEncoder();
  const roots = new Uint32Array(256);
  const nodes: [byte: number, id: number, child: number, sibling: number][] = [[0, 0, 0, 0]];
  const starts = new Uint8Array(16);
  let beyondAscii = false;
  for (const { content, id } of tokens) {
    const bytes = encoder.encode(content);
    const [first] = bytes;
    if (first < 0x80) starts[first & 15] |= 1 << (first >> 4);
    else beyondAscii = true;
    if (roots[first] === 0) roots[first] = nodes.push([first, 0, 0, 0]) - 1;
    let node = roots[first];
    for (const byte of bytes.subarray(1)) {
      let child = nodes[node][2];
      while (child !== 0 && nodes[child][0] !== byte) child = nodes[child][3];
      if (child === 0) {
        child = nodes.push([byte, 0, 0, nodes[node][2]]) - 1;
        nodes[node][2] = child;
      }
      node = child;
    }
    nodes[node][1] = id + 1;
  }
  return { roots, nodes: Uint32Array.from(nodes.flat()), starts, beyondAscii };
}
