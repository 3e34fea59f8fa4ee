/** The documents of a window of records in a worker: each row is made into the ids of a document when it is asked for. */
import type { EncodedRow } from '../chat/chat.js';
import { HeadraceError } from '../core/errors.js';
import { createPermutation, identityPermutation, type Permutation } from '../core/permutation.js';
import type { SkippedRows } from '../core/skip.js';
import type { Row, SliceRows } from '../decode/decoder.js';
import type { DocumentSource } from '../pack/packer.js';
import type { Provenance } from '../pack/sequence-writer.js';
import { ROW_EXCLUDED, ROW_FILTERED, ROW_TAKEN } from '../select/selection.js';
import type { WindowPayload, WindowSlice } from './messages.js';
import { rowFates } from './row-fates.js';
import { rejectedRows, type DocumentOptions } from './window-documents.js';

export interface RecordOptions extends Pick<DocumentOptions, 'badRows' | 'invalidUtf8' | 'decode' | 'decodeBeside'> {
  readonly encode: (row: Row) => EncodedRow;
}

const NO_TOKENS = new Int32Array(0);

export class RecordDocuments implements DocumentSource, Provenance {
  readonly count: number;
  readonly source: number;
  readonly #options: RecordOptions;
  readonly #slices: readonly WindowSlice[];
  readonly #rows: readonly SliceRows[];
  /** First row of each slice, counted in the window. */
  readonly #starts: readonly number[];
  readonly #order: Permutation;
  readonly #fates: Uint8Array | undefined;
  /** A long document is asked for once a sequence. */
  #readDocument = -1;
  #readIds: Int32Array = NO_TOKENS;
  #tokenizeMs = 0;
  #rowsSkipped = 0;
  #rowsExcluded = 0;
  #rowsFiltered = 0;
  #skipped: SkippedRows[];

  constructor(payload: WindowPayload, options: RecordOptions) {
    this.#options = options;
    this.#slices = payload.slices;
    this.#rows = payload.slices.map((slice) => options.decode(slice.encoded));
    this.#skipped = payload.slices.flatMap(rejectedRows);
    const starts: number[] = [];
    let count = 0;
    for (const rows of this.#rows) {
      starts.push(count);
      count += rows.count;
    }
    this.#starts = starts;
    this.#fates = rowFates(payload, options);
    this.count = count;
    this.source = payload.sourceIndex;
    this.#order = payload.orderKey === undefined ? identityPermutation(count) : createPermutation(payload.orderKey, count);
  }

  close(): void {
    this.#readIds = NO_TOKENS;
  }

  tokens(document: number): Int32Array {
    if (document !== this.#readDocument) {
      this.#readIds = this.#make(document);
      this.#readDocument = document;
    }
    return this.#readIds;
  }

  shard(document: number): number {
    return this.#slices[this.#sliceOf(this.#order.at(document))].shard;
  }

  row(document: number): number {
    const row = this.#order.at(document);
    const slice = this.#sliceOf(row);
    return this.#slices[slice].startRow + row - this.#starts[slice];
  }

  /** What was done since the last call. */
  takeWork(): {
    readonly tokenizeMs: number;
    readonly rowsSkipped: number;
    readonly rowsExcluded: number;
    readonly rowsFiltered: number;
    readonly skipped: readonly SkippedRows[];
  } {
    const work = {
      tokenizeMs: this.#tokenizeMs,
      rowsSkipped: this.#rowsSkipped,
      rowsExcluded: this.#rowsExcluded,
      rowsFiltered: this.#rowsFiltered,
      skipped: this.#skipped,
    };
    this.#tokenizeMs = 0;
    this.#rowsSkipped = 0;
    this.#rowsExcluded = 0;
    this.#rowsFiltered = 0;
    this.#skipped = [];
    return work;
  }

  /** Slices are few, as in `WindowDocuments`. */
  #sliceOf(row: number): number {
    let slice = this.#starts.length - 1;
    while (this.#starts[slice] > row) slice--;
    return slice;
  }

  #make(document: number): Int32Array {
    const place = this.#order.at(document);
    const slice = this.#sliceOf(place);
    const rows = this.#rows[slice];
    if (rows.kind === 'rejected') {
      this.#rowsSkipped++;
      return NO_TOKENS;
    }
    const fate = this.#fates === undefined ? ROW_TAKEN : this.#fates[place];
    if (fate !== ROW_TAKEN) {
      if (fate === ROW_EXCLUDED) this.#rowsExcluded++;
      if (fate === ROW_FILTERED) this.#rowsFiltered++;
      return NO_TOKENS;
    }
    if (rows.kind !== 'records') throw new Error('a window of one source with two kinds of rows');
    const record = rows.at(place - this.#starts[slice]);
    if ('problem' in record) return this.#reject(document, record.problem);
    const { row, isValidUtf8 } = record;
    if (!isValidUtf8 && this.#options.invalidUtf8 === 'error') return this.#reject(document, 'is not valid UTF-8');
    const started = performance.now();
    const encoded = this.#options.encode(row);
    this.#tokenizeMs += performance.now() - started;
    return 'problem' in encoded ? this.#reject(document, encoded.problem) : encoded.ids;
  }

  #reject(document: number, problem: string): Int32Array {
    const { encoded, shard, blockStartRow } = this.#slices[this.#sliceOf(this.#order.at(document))];
    const { uri } = encoded;
    const row = this.row(document);
    const message = `row ${row} of ${uri} ${problem}`;
    if (this.#options.badRows === 'fail') {
      throw new HeadraceError('BAD_ROW', message, {
        detail: { uri, row },
        hint: 'Mend the data or the template, or set `badRows: skip` to leave such rows out (they are counted).',
      });
    }
    this.#rowsSkipped++;
    this.#skipped.push({ shard, blockStartRow, startRow: row, endRow: row + 1, reason: 'bad-row', problem: message });
    return NO_TOKENS;
  }
}
