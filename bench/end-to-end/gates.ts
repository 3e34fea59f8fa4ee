/**
 * What a loader's delivery is held to before it gets a speed: each document of the corpus once an epoch, whole and unchanged.
 *
 *   rows of a stream, in order ──▶ joined tokens ──cut at EOS──▶ documents ──hash──▶ a multiset, compared with the corpus' own
 *
 * Rows belong to streams (a lane, a worker), and only the rows of one stream continue each other; so the check is blind to how streams take turns.
 * Where documents were packed before they were stored, whole rows are compared.
 */
import { joined, LENGTH, ROWS, type Delivery, type RankDelivery } from './delivery.js';

export const EOS = 50256;
/** Padding; no token of GPT-2. */
export const PAD = 65535;

export interface Corpus {
  /** Of all documents, joined, each with EOS at its end. */
  readonly ids: Uint16Array;
}

export type Unit = 'documents' | 'rows';

/** What is wrong with a delivery of so many epochs; undefined where nothing is. So many units may be there once more. */
export function contentFault(delivery: Delivery, corpus: Corpus, unit: Unit, epochs: number, repeatsMax = 0): string | undefined {
  if (delivery.ids.length !== delivery.streams.length * LENGTH) return `${delivery.ids.length} ids are no ${delivery.streams.length} rows`;
  const expected = unit === 'documents' ? documentsOf(oneStream(corpus.ids)) : rowsOf(corpus.ids);
  const found = unit === 'documents' ? documentsOf(delivery) : rowsOf(delivery.ids);
  const faults = [...difference(found.counts, expected.counts, epochs, unit, repeatsMax)];
  if (found.unended > 0) faults.push(`${found.unended} streams end inside a document`);
  return faults.length === 0 ? undefined : faults.join(', ');
}

/** What a loader promises of the ranks that share its data. */
export interface RanksPromise {
  /** All have the same number of batches. Else a trainer needs `Join`, or stops with the first. */
  readonly equalSteps: boolean;
  /** Gives some documents out twice, so that all ranks have as many: fewer than there are ranks. */
  readonly repeats?: true;
}

/** What is wrong with the steps of the ranks, and with what they had together: each document once, whichever rank had it. */
export function ranksFault(
  ranks: readonly RankDelivery[],
  corpus: Corpus,
  unit: Unit,
  { equalSteps, repeats }: RanksPromise,
): string | undefined {
  const content = contentFault(joined(ranks), corpus, unit, 1, repeats === true ? ranks.length - 1 : 0);
  const faults = [content, equalSteps ? stepsFault(ranks.map(({ ids }) => ids.length / (ROWS * LENGTH))) : undefined];
  return faults.every((fault) => fault === undefined) ? undefined : faults.filter((fault) => fault !== undefined).join(', ');
}

/** Of ranks that are to have the same number of steps. */
export function stepsFault(steps: readonly number[]): string | undefined {
  return new Set(steps).size <= 1 ? undefined : `ranks have ${steps.join(', ')} batches`;
}

/** As `contentFault`, of image-text: `hashes` of the samples as they came, and of all samples, ascending. */
export function samplesFault(delivered: BigUint64Array, expected: BigUint64Array): string | undefined {
  const counts = new Map<number, number>();
  const ordinals = new Map<bigint, number>();
  const ordinal = (hash: bigint): number => {
    const known = ordinals.get(hash) ?? ordinals.size;
    ordinals.set(hash, known);
    return known;
  };
  const wanted = new Map<number, number>();
  for (const hash of expected) add(wanted, ordinal(hash));
  for (const hash of delivered) add(counts, ordinal(hash));
  const faults = [...difference(counts, wanted, 1, 'samples')];
  return faults.length === 0 ? undefined : faults.join(', ');
}

/** Why runs of a loader that claims one order are no such; undefined where they agree. */
export function orderFault(digests: readonly string[]): string | undefined {
  const distinct = new Set(digests).size;
  return distinct <= 1 ? undefined : `claims one order, but ${digests.length} runs had ${distinct}`;
}

/** What a timed run can be held to at no cost: the number and the sum of its tokens. */
export function tallyFault(
  run: { readonly tokens: number; readonly tokenSum: number },
  expected: { readonly tokens: number; readonly tokenSum: number },
  epochs: number,
): string | undefined {
  if (run.tokens !== expected.tokens * epochs) return `${run.tokens} tokens instead of ${expected.tokens * epochs}`;
  if (run.tokenSum !== expected.tokenSum * epochs) return 'its tokens have another sum than the corpus';
  return undefined;
}

/** What a resumed run is held to: exact, or no resume. */
export function resumeFault(run: { readonly equalBatches?: number; readonly followingBatches?: number }): string | undefined {
  const { equalBatches = 0, followingBatches = 0 } = run;
  return followingBatches > 0 && equalBatches === followingBatches
    ? undefined
    : `${equalBatches} of ${followingBatches} batches after the resume are equal`;
}

interface Counts {
  readonly counts: Map<number, number>;
  readonly unended: number;
}

interface Stream {
  readonly ids: Int32Array | Uint16Array;
  readonly streams: Int32Array;
}

function oneStream(ids: Uint16Array): Stream {
  return { ids, streams: new Int32Array(Math.ceil(ids.length / LENGTH)) };
}

function documentsOf({ ids, streams }: Stream): Counts {
  const counts = new Map<number, number>();
  const open = new Map<number, Hash>();
  for (let row = 0; row < streams.length; row++) {
    let hash = open.get(streams[row]);
    if (hash === undefined) open.set(streams[row], (hash = new Hash()));
    const end = Math.min(ids.length, (row + 1) * LENGTH);
    for (let i = row * LENGTH; i < end; i++) {
      if (ids[i] === PAD) continue;
      hash.add(ids[i]);
      if (ids[i] === EOS) add(counts, hash.take());
    }
  }
  return { counts, unended: [...open.values()].filter((hash) => hash.length > 0).length };
}

function rowsOf(ids: Int32Array | Uint16Array): Counts {
  const counts = new Map<number, number>();
  const hash = new Hash();
  for (let start = 0; start < ids.length; start += LENGTH) {
    let isPadding = true;
    for (let i = start; i < start + LENGTH; i++) {
      const id = i < ids.length ? ids[i] : PAD;
      isPadding &&= id === PAD;
      hash.add(id);
    }
    const key = hash.take();
    // rows of nothing fill the last batch
    if (!isPadding) add(counts, key);
  }
  return { counts, unended: 0 };
}

function add(counts: Map<number, number>, key: number): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function* difference(
  found: ReadonlyMap<number, number>,
  expected: ReadonlyMap<number, number>,
  epochs: number,
  unit: Unit | 'samples',
  repeatsMax = 0,
): Generator<string> {
  let missing = 0;
  let repeated = 0;
  let unknown = 0;
  for (const [key, times] of expected) {
    const delta = (found.get(key) ?? 0) - times * epochs;
    if (delta < 0) missing -= delta;
    else repeated += delta;
  }
  for (const [key, times] of found) if (!expected.has(key)) unknown += times;
  if (missing > 0) yield `${missing} ${unit} missing`;
  if (repeated > repeatsMax) yield `${repeated} ${unit} too many`;
  if (unknown > 0) yield `${unknown} ${unit} that are not in the corpus`;
}

/** FNV-1a over ids with two different bases: 53 bits of it, a number that a Map can have as its key. */
class Hash {
  #low = 0x811c9dc5;
  #high = 0x9747b28c;
  length = 0;

  add(id: number): void {
    this.#low = Math.imul(this.#low ^ id, 0x01000193);
    this.#high = Math.imul(this.#high ^ (id + 0x5bd1), 0x85ebca6b);
    this.#high ^= this.#high >>> 15;
    this.length++;
  }

  /** And begins anew. */
  take(): number {
    const key = (this.#high >>> 11) * 2 ** 32 + (this.#low >>> 0);
    this.#low = 0x811c9dc5;
    this.#high = 0x9747b28c;
    this.length = 0;
    return key;
  }
}
