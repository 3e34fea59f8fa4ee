/**
 * The documents of a window of records in a worker: each row is made into the ids of a document when it is asked for, or, where a transform makes rows of it,
 * into those of several, which keep its place. Rows are transformed a little ahead of the packer, since code that may never end runs under a time limit.
 *
 *   row ──transform──▶ rows ──encode──▶ ids, and where each document ends
 *
 * A row of token ids alone comes as what any format has for ids, and is made a row here.
 */
import { isDeepStrictEqual } from 'node:util';
import { LIMITS } from '../config/limits.js';
import { HeadraceError } from '../core/errors.js';
import { variableName } from '../core/variable-name.js';
import type { Row, SliceRows } from '../decode/decoder.js';
import type { DocumentSource } from '../pack/packer.js';
import { ROW_FILTERED, ROW_TAKEN } from '../select/selection.js';
import { createRowContext } from '../transform/context.js';
import { runInTime } from '../transform/time-limit.js';
import { int32sOf, transformRow, type MadeFields, type RowOfValues, type Transform, type TransformedRow } from '../transform/transform.js';
import type { WindowPayload } from './messages.js';
import type { EncodedRecord, EncodeRecords } from './record-encoders.js';
import type { SampleFields } from './sample-fields.js';
import type { DeliveredTokens, DocumentOptions } from './window-documents.js';
import { WindowRows } from './window-rows.js';

export interface RecordOptions extends Pick<DocumentOptions, 'badRows' | 'invalidUtf8' | 'decode' | 'decodeBeside'> {
  readonly encode: EncodeRecords;
  /** The column of text or messages, which keeps its name in a row. */
  readonly column: string;
  /** `undefined`: rows are documents as they are. */
  readonly transform: SourceTransform | undefined;
  /** Of samples whose fields the transform sees: beside the columns of a row, or alone. */
  readonly fields?: SampleFields | undefined;
}

/** The transform of a source, with what its random numbers depend on beside the row's place. */
export interface SourceTransform extends Transform {
  readonly seed: number;
  /** What a row may take. */
  readonly rowMsMax: number;
}

/** What is found at a document's place, before anything of it is counted. */
type Found =
  | { readonly kind: 'rows'; readonly rows: readonly RowOfValues[]; readonly bytes: number }
  | { readonly kind: 'rejected' }
  | { readonly kind: 'left-out'; readonly fate: number }
  | { readonly kind: 'problem'; readonly problem: string; readonly code: RejectCode; readonly isDefect: boolean };

type RejectCode = 'BAD_ROW' | 'TOKEN_OUT_OF_RANGE' | 'TRANSFORM_FAILED';

/** A row as a template or a transform has it. */
type ReadRow = { readonly row: RowOfValues } | { readonly problem: string };

interface MadeDocument {
  readonly ids: Int32Array;
  readonly ends: Int32Array | undefined;
  /** Of samples without tokens: the fields of each. */
  readonly made?: readonly MadeFields[];
}

const LEFT_OUT: MadeDocument = { ids: new Int32Array(0), ends: undefined };
const NO_ROWS: readonly RowOfValues[] = [];

export class RecordDocuments implements DocumentSource {
  readonly rows: WindowRows;
  readonly count: number;
  readonly #options: RecordOptions;
  readonly #epoch: number;
  /** By column. */
  readonly #names = new Map<string, string>();
  /** Documents [#aheadStart, #aheadStart + #ahead.length). A long one is asked for once a sequence. */
  #aheadStart = 0;
  #ahead: readonly MadeDocument[] = [];
  /** A row of the window was transformed twice. */
  #isCompared = false;

  constructor(payload: WindowPayload, options: RecordOptions) {
    this.rows = new WindowRows(payload, options);
    this.count = this.rows.count;
    // before a transform runs under its time limit, which is not that of decoding
    while (this.rows.decodeNext());
    this.#options = options;
    this.#epoch = payload.epoch;
  }

  close(): void {
    this.#ahead = [];
    this.rows.release();
  }

  tokens(document: number): Int32Array {
    return this.#made(document).ids;
  }

  ends(document: number): Int32Array | undefined {
    return this.#made(document).ends;
  }

  /** A row with its documents' tokens, whether they have any or not; none where it is left out, which is counted. */
  deliver(document: number): readonly DeliveredTokens[] {
    const made = this.#made(document);
    if (made === LEFT_OUT) return [];
    if (made.made !== undefined) return made.made.map((fields, i) => ({ tokens: undefined, tokenStart: i, made: fields }));
    const { ids, ends = Int32Array.of(ids.length) } = made;
    return Array.from(ends, (end, i) => {
      const tokenStart = i === 0 ? 0 : ends[i - 1];
      return { tokens: ids.subarray(tokenStart, end), tokenStart };
    });
  }

  /** A bad row, by what is wrong with it: an error, or left out and counted. */
  reject(document: number, problem: string): void {
    this.#reject(document, problem, 'BAD_ROW', false);
  }

  #made(document: number): MadeDocument {
    if (document < this.#aheadStart || document >= this.#aheadStart + this.#ahead.length) {
      this.#ahead = this.#makeAhead(document);
      this.#aheadStart = document;
    }
    return this.#ahead[document - this.#aheadStart];
  }

  /** Makes a document, and of those that are transformed as many after it as are worth a call. */
  #makeAhead(first: number): readonly MadeDocument[] {
    const started = performance.now();
    const found = this.#options.transform === undefined ? [this.#find(first)] : this.#findInTime(first, this.#options.transform);
    const encoded = this.#options.encode(found.map((one) => (one.kind === 'rows' ? one.rows : NO_ROWS)));
    this.rows.tokenizeMs += performance.now() - started;
    return found.map((one, i) => this.#settle(first + i, one, encoded[i]));
  }

  #settle(document: number, found: Found, encoded: EncodedRecord): MadeDocument {
    switch (found.kind) {
      case 'rows':
        return 'problem' in encoded ? this.#reject(document, encoded.problem, encoded.code ?? 'BAD_ROW', false) : encoded;
      case 'problem':
        return this.#reject(document, found.problem, found.code, found.isDefect);
      case 'rejected':
        this.rows.countRejected();
        return LEFT_OUT;
      case 'left-out':
        this.rows.countLeftOut(found.fate);
        return LEFT_OUT;
    }
  }

  /** A row that is never done ends the run, whatever the policy: how long it may take is a matter of the machine, and what is left out must not be. */
  #findInTime(first: number, { file, rowMsMax }: SourceTransform): readonly Found[] {
    const found: Found[] = [];
    let bytes = 0;
    const findOn = (): void => {
      while (first + found.length < this.count && bytes < LIMITS.transformAheadBytes) {
        const one = this.#find(first + found.length);
        bytes += one.kind === 'rows' ? one.bytes : 0;
        found.push(one);
      }
    };
    for (;;) {
      const before = found.length;
      if (runInTime(findOn, rowMsMax)) return found;
      if (found.length > before) continue; // many rows that take long: the next one begins anew
      const problem = `is not transformed by ${file} after ${rowMsMax / 1000} s`;
      this.#reject(first + before, problem, 'TRANSFORM_FAILED', true);
    }
  }

  /** May be stopped at any point: changes nothing that a second call would not find as it was. */
  #find(document: number): Found {
    const { slice, index } = this.rows.place(document);
    const rows = this.rows.rowsOf(slice);
    if (rows.kind === 'rejected') return { kind: 'rejected' };
    const fate = this.rows.fate(document);
    if (fate !== ROW_TAKEN) return { kind: 'left-out', fate };
    const read = this.#read(rows, slice, index);
    if ('problem' in read) return badRow(read.problem);
    const { transform } = this.#options;
    if (transform === undefined) return { kind: 'rows', rows: [read.row], bytes: 0 };
    const made = this.#transformed(transform, document, read.row, () => (this.#read(rows, slice, index) as typeof read).row);
    if ('problem' in made) {
      return { kind: 'problem', problem: made.problem, code: 'TRANSFORM_FAILED', isDefect: made.isDefect ?? false };
    }
    return made.rows.length === 0 ? { kind: 'left-out', fate: ROW_FILTERED } : { kind: 'rows', ...made };
  }

  /** Made anew with each call. */
  #read(rows: SliceRows, slice: number, index: number): ReadRow {
    const { column, invalidUtf8, transform, fields } = this.#options;
    const problem = fields?.problemOf(slice, index);
    if (problem !== undefined) return { problem };
    // rows that nobody wants come as empty texts
    if (fields !== undefined && rows.kind === 'text') return { row: fields.rowOf(slice, index, transform?.makes.fields) };
    if (rows.kind === 'tokens') {
      if (rows.valid?.[index] === 0) return { problem: rows.problems?.get(index) ?? 'is null, or holds a null' };
      return rowOfIds({}, column, rows.ids.subarray(rows.bounds[index], rows.bounds[index + 1]));
    }
    if (rows.kind !== 'records') throw new Error('a window of one source with two kinds of rows');
    const record = rows.at(index);
    if ('problem' in record) return record;
    if (!record.isValidUtf8 && invalidUtf8 === 'error') return { problem: 'is not valid UTF-8' };
    const row = this.#named(record.row);
    if (fields !== undefined) return { row: fields.rowOf(slice, index, transform?.makes.fields, row) };
    if (transform?.makes.kind !== 'ids') return { row };
    const ids = row[column];
    return Array.isArray(ids) ? rowOfIds(row, column, ids) : { problem: `has no list of token ids under ${column}` };
  }

  /** As templates and transforms call its columns. */
  #named(row: Row): Row {
    return Object.fromEntries(Object.entries(row).map(([column, value]) => [this.#nameOf(column), value]));
  }

  #nameOf(column: string): string {
    let name = this.#names.get(column);
    if (name === undefined) this.#names.set(column, (name = column === this.#options.column ? column : variableName(column)));
    return name;
  }

  /** The first of a window is asked for twice: a transform that does not depend on the row alone makes another stream with each resume. */
  #transformed(transform: SourceTransform, document: number, row: RowOfValues, rowAnew: () => RowOfValues): TransformedRow {
    const place = {
      source: transform.source,
      seed: transform.seed,
      shard: this.rows.sliceOf(document).path,
      row: this.rows.row(document),
      epoch: this.#epoch,
    };
    const made = transformRow(transform, row, createRowContext(place));
    if (this.#isCompared) return made;
    this.#isCompared = true;
    const again = transformRow(transform, rowAnew(), createRowContext(place));
    if (isDeepStrictEqual(again, made)) return made;
    const problem = `is transformed by ${transform.file} to something else when it is transformed again: it must depend on its arguments only`;
    return { problem, isDefect: true };
  }

  #reject(document: number, problem: string, code: RejectCode, isDefect: boolean): MadeDocument {
    const { uri } = this.rows.sliceOf(document).encoded;
    const row = this.rows.row(document);
    const message = `row ${row} of ${uri} ${problem}`;
    if (this.#options.badRows === 'fail' || isDefect) {
      throw new HeadraceError(code, message, {
        detail: { uri, row, ...(code === 'TRANSFORM_FAILED' && { transform: this.#options.transform?.file ?? null }) },
        hint: isDefect
          ? 'Mend the transform: docs/transforms.md says what it may do. No row is left out for this.'
          : 'Mend the data, the template or the transform, or set `badRows: skip` to leave such rows out (they are counted).',
      });
    }
    this.rows.skip(document, message);
    return LEFT_OUT;
  }
}

function rowOfIds(row: RowOfValues, column: string, values: ArrayLike<unknown>): ReadRow {
  const ids = int32sOf(values);
  return 'wrong' in ids ? { problem: `holds what is no token id of 32 bits, at ${ids.wrong}` } : { row: { ...row, [column]: ids.ids } };
}

function badRow(problem: string): Found {
  return { kind: 'problem', problem, code: 'BAD_ROW', isDefect: false };
}
