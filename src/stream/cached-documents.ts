/**
 * The documents of a window of text of which the token cache has some slices, and wants the others. The rows of a slice that it has are empty texts
 * to `WindowDocuments`, which tokenizes the others ahead, in the window's order.
 *
 *   kept    entry ────────────────────────────────────▶ tokens
 *   wanted  rows ──WindowDocuments (tokenizes)──▶ tokens ──all rows known──▶ entry
 *           … until another window has made the entry ─▶ kept
 *   neither rows ──WindowDocuments (tokenizes)──▶ tokens
 *
 * An entry does not depend on what is excluded, held out or filtered, so that it is of use to every list and filter, and to both splits: of a slice that is wanted the rows
 * that are left out are tokenized as well, and not delivered.
 */
import { rawInt32 } from '../core/raw-memory.js';
import type { TokenArray } from '../core/sequence.js';
import type { DocumentSource } from '../pack/packer.js';
import { ROW_TAKEN } from '../select/selection.js';
import type { SliceTokens, WindowPayload, WindowSlice } from './messages.js';
import {
  createTokenEntryWriter,
  readTokenEntry,
  readUsableEntry,
  type IdBytes,
  type OnTokenEntry,
  type TokenEntry,
  type TokenEntryWriter,
} from './token-entry.js';
import { WindowDocuments, type DocumentOptions } from './window-documents.js';
import type { WindowRows } from './window-rows.js';

export interface CachedDocumentOptions extends DocumentOptions {
  readonly idBytes: IdBytes;
  readonly onEntry: OnTokenEntry;
}

type SliceDocuments =
  /** `since`: the last portion that was tokenized without it. */
  | { readonly kind: 'kept'; readonly entry: TokenEntry; readonly since: number }
  | { readonly kind: 'wanted'; readonly key: string; readonly writer: TokenEntryWriter }
  /** The cache has nothing to do with it: its rows are tokenized for this stream only, or are rejected. */
  | { readonly kind: 'neither' };

const NO_TOKENS = new Int32Array(0);
/** Portions are counted from 0. */
const NEVER = -1;
/** With a little more, room for one document is room for most. */
const GROWTH = 1.25;

export class CachedDocuments implements DocumentSource {
  readonly rows: WindowRows;
  readonly count: number;
  readonly #options: CachedDocumentOptions;
  readonly #tokenized: WindowDocuments;
  readonly #slices: SliceDocuments[];
  /** A document of an entry, with what is appended to it: a long one is asked for once a sequence. */
  #readDocument = -1;
  #readIds: Int32Array = NO_TOKENS;
  /** What it lies in: used again for the next one. */
  #readBuffer: Int32Array = NO_TOKENS;

  constructor(payload: WindowPayload, options: CachedDocumentOptions) {
    this.#options = options;
    // something is appended in any case, so that a row that is left out differs from one without tokens
    this.#tokenized = new WindowDocuments(payload, { ...options, appendId: options.appendId ?? 0 });
    this.rows = this.#tokenized.rows;
    this.count = this.rows.count;
    this.#slices = payload.slices.map(({ encoded, tokens }) => sliceDocuments(tokens, encoded.rows, options.idBytes));
  }

  close(): void {
    this.#tokenized.close();
  }

  tokens(document: number): TokenArray {
    if (document === this.#readDocument) return this.#readIds;
    const { slice: at, index } = this.rows.place(document);
    const slice = this.#slices[at];
    if (slice.kind === 'kept' && !this.#isTokenized(slice.since, document)) return this.#read(slice.entry, index, document);
    const tokens = this.#tokenize(at, index, document);
    return this.rows.fate(document) === ROW_TAKEN ? tokens : NO_TOKENS;
  }

  /** The tokens of a slice that was wanted: another window has made them. */
  take(at: number, bytes: Uint8Array): void {
    const kept = keptSlice(this.rows.slices[at], bytes, this.#options.badRows);
    if (kept === undefined) return;
    this.rows.omit(at, kept);
    this.#slices[at] = { kind: 'kept', entry: entryOf(bytes, kept.encoded.rows), since: this.#tokenized.portion };
  }

  /** Whether its tokens were made, and maybe counted as skipped, before its slice was kept. */
  #isTokenized(since: number, document: number): boolean {
    return since === this.#tokenized.portion && this.#tokenized.isAhead(document);
  }

  #read(entry: TokenEntry, row: number, document: number): Int32Array {
    if (this.rows.isLeftOut(document)) return NO_TOKENS;
    if (entry.isRejected(row)) {
      const { uri } = this.rows.sliceOf(document).encoded;
      this.rows.skip(document, `row ${this.rows.row(document)} of ${uri} was a bad one when its slice was tokenized`);
      return NO_TOKENS;
    }
    const { appendId } = this.#options;
    const ids = entry.ids.subarray(entry.bounds[row], entry.bounds[row + 1]);
    const length = ids.length + (appendId === undefined ? 0 : 1);
    if (this.#readBuffer.length < length) this.#readBuffer = rawInt32(Math.ceil(GROWTH * length));
    const tokens = this.#readBuffer.subarray(0, length);
    tokens.set(ids);
    if (appendId !== undefined) tokens[ids.length] = appendId;
    this.#readDocument = document;
    this.#readIds = tokens;
    return tokens;
  }

  #tokenize(at: number, row: number, document: number): TokenArray {
    const slice = this.#slices[at];
    const appended = this.#tokenized.tokens(document);
    const tokens = appended.subarray(0, Math.max(0, appended.length - 1));
    // what turned out to be damaged is wanted no more
    if (slice.kind === 'wanted' && this.rows.slices[at].tokens !== undefined) {
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
  return { kind: 'kept', entry: entryOf(tokens.entry, rows), since: NEVER };
}

function entryOf(bytes: Uint8Array, rows: number): TokenEntry {
  const entry = readTokenEntry(bytes, rows);
  if (entry === undefined) throw new Error('an entry of the token cache that was read before is none');
  return entry;
}

/** A slice with the tokens that it wanted; undefined where it wants none any more, or cannot do with these. */
export function keptSlice(slice: WindowSlice, entry: Uint8Array, badRows: 'fail' | 'skip'): WindowSlice | undefined {
  const { encoded, tokens } = slice;
  if (tokens?.kind !== 'wanted' || readUsableEntry(entry, encoded.rows, badRows) === undefined) return undefined;
  const { uri, rows } = encoded;
  return { ...slice, encoded: { format: 'omitted', uri, rows }, tokens: { kind: 'kept', entry } };
}
