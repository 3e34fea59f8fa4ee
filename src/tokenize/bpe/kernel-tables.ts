/**
 * Lays out a compiled tokenizer in memory that all worker threads share: they read it, and each takes a region of its own behind it.
 *
 *   memory   statics │ tables, descriptor │ a worker's cache, texts, ids │ another worker's │ …
 */
import { createSharedMemory, type SharedKernelMemory } from '../../core/kernel.js';
import { classOf, type ClassMap } from '../pattern/automaton.js';
import type { AddedToken } from './tokenizer-json.js';
import type { CompiledBpe } from './compile.js';
import { formClasses } from './normal-form.js';

/** Posted to worker threads as it is. */
export interface KernelTables {
  readonly memory: SharedKernelMemory;
  /** Where the descriptor lies. */
  readonly descriptor: number;
}

/** What the kernel's vector reads may run over an end by. */
export const SLACK = 64;
/** The kernel's own statics lie below this: it has a few constants only, which a test compares with `heapStart`. */
export const TABLES_START = 4096;
const NONE = 0xffffffff;
const LEVEL_WORDS = 16;
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
        0,
        0,
        0,
        layout.place(automaton.noStarts),
        Number(levels[i].keepMatches),
        Number(levels[i].keepGaps),
      ],
      LEVEL_WORDS * i,
    );
  }
  const merges = mergeTable(model.merges);
  const words = wordTable(compiled);
  const form = compiled.normalForm === 'none' ? undefined : formClasses(compiled.normalForm);
  const trie = compiled.matched.length === 0 ? undefined : tokenTrie(compiled.matched);
  const descriptor = layout.place(
    Uint32Array.of(
      layout.place(automata.classes.index),
      layout.place(automata.classes.blocks),
      layout.place(levelRecords),
      levels.length,
      layout.place(model.byteIds),
      layout.place(merges.slots),
      merges.bits,
      layout.place(words.slots),
      words.bits,
      layout.place(model.tokenBytes),
      Number(model.wholeWords),
      Number(model.style === 'characters'),
      model.spaceId,
      form === undefined ? 0 : layout.place(form.index),
      form === undefined ? 0 : layout.place(form.blocks),
      trie === undefined ? 0 : layout.place(trie.roots),
      trie === undefined ? 0 : layout.place(trie.nodes),
      trie === undefined ? 0 : layout.place(trie.starts),
      Number(trie?.beyondAscii ?? false),
      PREFIXES[compiled.prefix],
      Number(compiled.prefixFirstOnly),
      layout.place(byteMasks()),
      form === undefined ? 0 : firstLead(form),
    ),
  );
  return { memory: layout.toMemory(), descriptor };
}

/** Gives arrays their places, then writes them. */
class Layout {
  readonly #arrays: { readonly at: number; readonly array: Uint8Array | Uint16Array | Uint32Array | Int32Array | BigUint64Array }[] = [];
  #end = TABLES_START;

  place(array: Uint8Array | Uint16Array | Uint32Array | Int32Array | BigUint64Array): number {
    const at = this.#end;
    this.#arrays.push({ at, array });
    this.#end = (at + array.byteLength + SLACK + 15) & ~15;
    return at;
  }

  toMemory(): SharedKernelMemory {
    const memory = createSharedMemory(this.#end);
    for (const { at, array } of this.#arrays) {
      new Uint8Array(memory.buffer, at, array.byteLength).set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    }
    return memory;
  }
}

/** The lowest byte that leads a code point of class 1. */
function firstLead(form: ClassMap): number {
  let point = 0x80;
  while (classOf(form, point) === 0) point++;
  return new TextEncoder().encode(String.fromCodePoint(point))[0];
}

/** [9] masks of the first n of 8 bytes. */
function byteMasks(): BigUint64Array {
  return BigUint64Array.from({ length: 9 }, (_, bytes) => (1n << (8n * BigInt(bytes))) - 1n);
}

/** Open addressing with linear probing, at most half full: left, right, rank, merged. The hash is `rankOf`'s in the kernel. */
function mergeTable(merges: Int32Array): { readonly slots: Uint32Array; readonly bits: number } {
  const count = merges.length / 3;
  const bits = Math.max(4, Math.ceil(Math.log2(2 * count + 1)));
  const slots = new Uint32Array(4 * 2 ** bits).fill(NONE);
  const mask = 2 ** bits - 1;
  for (let rank = 0; rank < count; rank++) {
    const left = merges[3 * rank];
    const right = merges[3 * rank + 1];
    const mixed = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca77);
    let slot = Math.imul(mixed, 0xc2b2ae3d) >>> (32 - bits);
    // the last of equal pairs counts, as in the reference
    while (slots[4 * slot] !== NONE && !(slots[4 * slot] === left && slots[4 * slot + 1] === right)) slot = (slot + 1) & mask;
    slots[4 * slot] = left;
    slots[4 * slot + 1] = right;
    slots[4 * slot + 2] = rank;
    slots[4 * slot + 3] = merges[3 * rank + 2];
  }
  return { slots, bits };
}

/** Tokens by their bytes, for whole words and for characters: hash, id, place, length. */
function wordTable({ model }: CompiledBpe): { readonly slots: Uint32Array; readonly bits: number } {
  const { tokenBytes, tokenPlaces, idsEnd } = model;
  const wanted = model.style === 'characters' || model.wholeWords;
  const bits = wanted ? Math.max(4, Math.ceil(Math.log2(2 * idsEnd + 1))) : 4;
  const slots = new Uint32Array(4 * 2 ** bits);
  const mask = 2 ** bits - 1;
  for (let id = 0; wanted && id < idsEnd; id++) {
    const start = tokenPlaces[2 * id];
    const length = tokenPlaces[2 * id + 1];
    if (length === 0 || (model.style === 'characters' && length > 4)) continue;
    const hash = hashBytes(tokenBytes, start, length);
    let slot = hash & mask;
    while (slots[4 * slot + 3] !== 0) slot = (slot + 1) & mask;
    slots.set([hash, id, start, length], 4 * slot);
  }
  return { slots, bits };
}

/** FNV-1a, as in the kernel. */
function hashBytes(bytes: Uint8Array, start: number, length: number): number {
  let hash = 0x811c9dc5;
  for (let i = start; i < start + length; i++) hash = Math.imul(hash ^ bytes[i], 0x01000193);
  return (hash ^ (hash >>> 15)) >>> 0;
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
