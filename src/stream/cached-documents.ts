/**
 * The documents of a window of text of which the token cache has some slices, and wants the others. The rows of a slice that it has are empty texts
 * to `WindowDocuments`, which tokenizes the others ahead, in the window's order.
 *
 *   kept    entry ────────────────────────────────────▶ tokens
 *   wanted  rows ──WindowDocuments (tokenizes)──▶ tokens ──all rows known──▶ entry
 *   neither rows ──WindowDocuments (tokenizes)──▶ tokens
 *
 * An entry does not depend on what is excluded, held out or filtered, so that it is of use to every list and filter, and to both splits: of a slice that is wanted the rows
 * that are left out are tokenized as well, and not delivered.
 */
import type { SkippedRows } from '../core/skip.js';
import { createPermutation, identityPermutation, type Permutation } from '../core/permutation.js';
import type { DocumentSource } from '../pack/packer.js';
import type { Provenance } from '../pack/sequence-writer.js';
import { ROW_EXCLUDED, ROW_FILTERED, ROW_TAKEN } from '../select/selection.js';
import type { SliceTokens, WindowPayload } from './messages.js';
import {
  createTokenEntryWriter,
  readTokenEntry,
  type IdBytes,
  type OnTokenEntry,
  type TokenEntry,
  type TokenEntryWriter,
} from './token-entry.js';
import { WindowDocuments, type DocumentOptions } from './window-documents.js';

export interface CachedDocumentOptions extends DocumentOptions {
  readonly idBytes: IdBytes;
  readonly onEntry: OnTokenEntry;
}

type SliceDocuments =
  | { readonly kind: 'kept'; readonly entry: TokenEntry }
  | { readonly kind: 'wanted'; readonly key: string; readonly writer: TokenEntryWriter }
  /** The cache has nothing to do with it: its rows are tokenized for this stream only, or are rejected. */
  | { readonly kind: 'neither' };

const NO_TOKENS = new Int32Array(0);

export class CachedDocuments implements DocumentSource, Provenance {
  readonly count: number;
  readonly source: number;
  readonly #options: CachedDocumentOptions;
  readonly #tokenized: WindowDocuments;
  readonly #slices: readonly SliceDocuments[];
  /** First row of each slice, counted in the window. */
  readonly #starts: readonly number[];
  readonly #order: Permutation;
  readonly #payload: WindowPayload;
  #rowsSkipped = 0;
  #rowsExcluded = 0;
  #rowsFiltered = 0;
  #skipped: SkippedRows[] = [];
  /** A document of an entry, with what is appended to it: a long one is asked for once a sequence. */
  #readDocument = -1;
  #readIds: Int32Array = NO_TOKENS;

  constructor(payload: WindowPayload, options: CachedDocumentOptions) {
    this.#options = options;
    this.#payload = payload;
    // something is appended in any case, so that a row that is left out differs from one without tokens
    this.#tokenized = new WindowDocuments(payload, { ...options, appendId: options.appendId ?? 0 });
    const starts: number[] = [];
    let count = 0;
    this.#slices = payload.slices.map(({ encoded, tokens }) => {
      starts.push(count);
      count += encoded.rows;
      return sliceDocuments(tokens, encoded.rows, options.idBytes);
    });
    this.#starts = starts;
    this.count = count;
    this.source = payload.sourceIndex;
    this.#order = payload.orderKey === undefined ? identityPermutation(count) : createPermutation(payload.orderKey, count);
  }

  close(): void {
    this.#tokenized.close();
  }

  tokens(document: number): Int32Array {
    if (document === this.#readDocument) return this.#readIds;
    const row = this.#order.at(document);
    let at = this.#starts.length - 1; // slices are few
    while (this.#starts[at] > row) at--;
    const slice = this.#slices[at];
    const sliceRow = row - this.#starts[at];
    if (slice.kind === 'kept') return this.#read(slice.entry, at, sliceRow, document);
    const tokens = this.#tokenize(slice, sliceRow, document);
    return this.#tokenized.fate(document) === ROW_TAKEN ? tokens : NO_TOKENS;
  }

  shard(document: number): number {
    return this.#tokenized.shard(document);
  }

  row(document: number): number {
    return this.#tokenized.row(document);
  }

  /** What was done since the last call. */
  takeWork(): ReturnType<WindowDocuments['takeWork']> {
    const { tokenizeMs, rowsSkipped, rowsExcluded, rowsFiltered, skipped } = this.#tokenized.takeWork();
    const work = {
      tokenizeMs,
      rowsSkipped: rowsSkipped + this.#rowsSkipped,
      rowsExcluded: rowsExcluded + this.#rowsExcluded,
      rowsFiltered: rowsFiltered + this.#rowsFiltered,
      skipped: [...skipped, ...this.#skipped],
    };
    this.#rowsSkipped = 0;
    this.#rowsExcluded = 0;
    this.#rowsFiltered = 0;
    this.#skipped = [];
    return work;
  }

  #read(entry: TokenEntry, at: number, row: number, document: number): Int32Array {
    const fate = this.#tokenized.fate(document);
    if (fate !== ROW_TAKEN) {
      if (fate === ROW_EXCLUDED) this.#rowsExcluded++;
      if (fate === ROW_FILTERED) this.#rowsFiltered++;
      return NO_TOKENS;
    }
    if (entry.isRejected(row)) {
      this.#rowsSkipped++;
      const { shard, blockStartRow, startRow, encoded } = this.#payload.slices[at];
      const shardRow = startRow + row;
      const problem = `row ${shardRow} of ${encoded.uri} was a bad one when its slice was tokenized`;
      this.#skipped.push({ shard, blockStartRow, startRow: shardRow, endRow: shardRow + 1, reason: 'bad-row', problem });
      return NO_TOKENS;
    }
    const { appendId } = this.#options;
    const ids = entry.ids.subarray(entry.bounds[row], entry.bounds[row + 1]);
    const tokens = new Int32Array(ids.length + (appendId === undefined ? 0 : 1));
    tokens.set(ids);
    if (appendId !== undefined) tokens[ids.length] = appendId;
    this.#readDocument = document;
    this.#readIds = tokens;
    return tokens;
  }

  #tokenize(slice: Exclude<SliceDocuments, { kind: 'kept' }>, row: number, document: number): Int32Array {
    const appended = this.#tokenized.tokens(document);
    const tokens = appended.subarray(0, Math.max(0, appended.length - 1));
    if (slice.kind === 'wanted') {
      const { key, writer } = slice;
      if (appended.length === 0) writer.reject(row);
      else writer.add(row, tokens);
      const entry = writer.take();
      if (entry !== undefined) this.#options.onEntry(key, entry);
    }
    return this.#options.appendId === undefined ? tokens : appended;
  }
}

function sliceDocuments(tokens: SliceTokens | undefined, rows: number, idBytes: IdBytes): SliceDocuments {
  if (tokens === undefined) return { kind: 'neither' };
  if (tokens.kind === 'wanted') return { kind: 'wanted', key: tokens.key, writer: createTokenEntryWriter(rows, idBytes) };
  const entry = readTokenEntry(tokens.entry, rows);
  if (entry === undefined) throw new Error('an entry of the token cache that the main thread has read is none');
  return { kind: 'kept', entry };
}
