/** The rows of a window in a worker, in the order in which they are visited: where each of them lies, what becomes of it, and the account of what was done. */
import { createPermutation, identityPermutation, type Permutation } from '../core/permutation.js';
import type { SkippedRows } from '../core/skip.js';
import type { SliceRows } from '../decode/decoder.js';
import { omittedRows } from '../decode/slice-decoder.js';
import type { Provenance } from '../pack/sequence-writer.js';
import { ROW_EXCLUDED, ROW_FILTERED, ROW_TAKEN } from '../select/selection.js';
import { releaseRows, type DecodedSlice } from './decode-window.js';
import type { WindowPayload, WindowSlice } from './messages.js';
import { rowFates, type DecodeFacts } from './row-fates.js';

export interface RowFacts extends DecodeFacts {
  /** Of a slice of the payload, by index. */
  readonly decode: (slice: number) => DecodedSlice;
}

export interface RowWork {
  readonly decodeMs: number;
  readonly tokenizeMs: number;
  readonly rowsSkipped: number;
  readonly rowsExcluded: number;
  readonly rowsFiltered: number;
  readonly skipped: readonly SkippedRows[];
}

/** A row is called by its place in the window's order: the document, or the documents, that it becomes. */
export class WindowRows implements Provenance {
  readonly count: number;
  readonly source: number;
  readonly #slices: WindowSlice[];
  /** Of each slice, once one of its rows was wanted. */
  readonly #decoded: (SliceRows | undefined)[];
  readonly #decode: RowFacts['decode'];
  /** Time in which slices were decoded since the last `takeWork`. */
  decodeMs = 0;
  /** Time spent in the tokenizer since then. */
  tokenizeMs = 0;
  #rowsSkipped = 0;
  #rowsExcluded = 0;
  #rowsFiltered = 0;
  #skipped: SkippedRows[];
  /** First row of each slice, counted in the window. */
  readonly #starts: readonly number[];
  readonly #order: Permutation;
  /** By row; undefined where all are taken. */
  readonly #fates: Uint8Array | undefined;

  constructor(payload: WindowPayload, facts: RowFacts) {
    this.source = payload.sourceIndex;
    this.#slices = [...payload.slices];
    this.#decoded = payload.slices.map(() => undefined);
    this.#decode = facts.decode;
    const starts: number[] = [];
    let count = 0;
    for (const { encoded } of payload.slices) {
      starts.push(count);
      count += encoded.rows;
    }
    this.count = count;
    this.#starts = starts;
    this.#fates = rowFates(payload, facts);
    this.#order = payload.orderKey === undefined ? identityPermutation(count) : createPermutation(payload.orderKey, count);
    this.#skipped = payload.slices.flatMap(rejectedRows);
  }

  /** Those that turned out to be damaged are rejected ones from then on. */
  get slices(): readonly WindowSlice[] {
    return this.#slices;
  }

  /** Throws `WindowDamaged`. Errors: `SHARD_INVALID`. */
  rowsOf(slice: number): SliceRows {
    return (this.#decoded[slice] ??= this.#decodeSlice(slice));
  }

  /** Decodes the first slice that is not yet, whether or not its rows are wanted already. Whether there was one. */
  decodeNext(): boolean {
    const slice = this.#decoded.indexOf(undefined);
    if (slice >= 0) this.rowsOf(slice);
    return slice >= 0;
  }

  /** Nobody will ask for the rows of this slice any more: their places are held by empty texts. */
  omit(index: number, slice: WindowSlice): void {
    const decoded = this.#decoded[index];
    if (decoded !== undefined) releaseRows(decoded);
    this.#decoded[index] = omittedRows(slice.encoded.rows);
    this.#slices[index] = slice;
  }

  /** Nothing may be asked of the rows any more. */
  release(): void {
    for (const rows of this.#decoded) if (rows !== undefined) releaseRows(rows);
  }

  #decodeSlice(index: number): SliceRows {
    const started = performance.now();
    const { slice, rows } = this.#decode(index);
    this.decodeMs += performance.now() - started;
    if (rows.count !== slice.encoded.rows) throw new Error(`a slice of ${slice.encoded.rows} rows was decoded to ${rows.count}`);
    if (slice !== this.#slices[index]) {
      this.#slices[index] = slice;
      this.#skipped.push(...rejectedRows(slice));
      // it is left out whole, whatever the selection says of its rows
      this.#fates?.fill(ROW_TAKEN, this.#starts[index], this.#starts[index] + rows.count);
    }
    return rows;
  }

  /** Its slice, and its row in that. */
  place(document: number): { readonly slice: number; readonly index: number } {
    const row = this.#order.at(document);
    const slice = this.#sliceOf(row);
    return { slice, index: row - this.#starts[slice] };
  }

  /** The slice that it lies in. */
  sliceOf(document: number): WindowSlice {
    return this.slices[this.#sliceOf(this.#order.at(document))];
  }

  shard(document: number): number {
    return this.sliceOf(document).shard;
  }

  /** Counted in its shard. */
  row(document: number): number {
    const row = this.#order.at(document);
    const slice = this.#sliceOf(row);
    return this.slices[slice].startRow + row - this.#starts[slice];
  }

  /** What becomes of it: `ROW_TAKEN`, `ROW_EXCLUDED`, `ROW_OF_OTHER_SPLIT`, `ROW_FILTERED`. */
  fate(document: number): number {
    return this.#fates === undefined ? ROW_TAKEN : this.#fates[this.#order.at(document)];
  }

  /** Whether the selection leaves it out; counts it then. */
  isLeftOut(document: number): boolean {
    const fate = this.fate(document);
    this.countLeftOut(fate);
    return fate !== ROW_TAKEN;
  }

  /** A row that is left out for what becomes of it. */
  countLeftOut(fate: number): void {
    if (fate === ROW_EXCLUDED) this.#rowsExcluded++;
    if (fate === ROW_FILTERED) this.#rowsFiltered++;
  }

  /** A row of a slice that is left out whole, which was told of. */
  countRejected(): void {
    this.#rowsSkipped++;
  }

  /** A bad row that is left out, which is told of. `problem`: a sentence. */
  skip(document: number, problem: string): void {
    const { shard, blockStartRow } = this.sliceOf(document);
    const row = this.row(document);
    this.#rowsSkipped++;
    this.#skipped.push({ shard, blockStartRow, startRow: row, endRow: row + 1, reason: 'bad-row', problem });
  }

  /** What was done since the last call. */
  takeWork(): RowWork {
    const work = {
      decodeMs: this.decodeMs,
      tokenizeMs: this.tokenizeMs,
      rowsSkipped: this.#rowsSkipped,
      rowsExcluded: this.#rowsExcluded,
      rowsFiltered: this.#rowsFiltered,
      skipped: this.#skipped,
    };
    this.decodeMs = 0;
    this.tokenizeMs = 0;
    this.#rowsSkipped = 0;
    this.#rowsExcluded = 0;
    this.#rowsFiltered = 0;
    this.#skipped = [];
    return work;
  }

  /** Slices are few (one a block of the group), so a linear search is the quickest. */
  #sliceOf(row: number): number {
    let slice = this.#starts.length - 1;
    while (this.#starts[slice] > row) slice--;
    return slice;
  }
}

/** Of a slice that is left out. */
export function rejectedRows({ encoded, shard, blockStartRow, startRow }: WindowSlice): SkippedRows[] {
  if (encoded.format !== 'rejected') return [];
  const { rows, reason, problem } = encoded;
  return [{ shard, blockStartRow, startRow, endRow: startRow + rows, reason, problem }];
}
