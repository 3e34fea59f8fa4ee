/** The documents of one window in a worker: decoded rows, visited in the window's order, tokenized a little ahead of the packer. */
import { LIMITS } from '../config/limits.js';
import { HeadraceError } from '../core/errors.js';
import type { SkippedRows } from '../core/skip.js';
import { createPermutation, identityPermutation, type Permutation } from '../core/permutation.js';
import { toValidUtf8 } from '../core/utf8.js';
import type { EncodedSlice, Rows, SliceRows } from '../decode/decoder.js';
import type { DocumentSource, Sample } from '../pack/packer.js';
import type { Provenance } from '../pack/sequence-writer.js';
import { ROW_EXCLUDED, ROW_FILTERED, ROW_TAKEN } from '../select/selection.js';
import type { DocumentEncoder } from '../tokenize/tokenizer.js';
import type { WindowPayload, WindowSlice } from './messages.js';
import { rowFates, type DecodeFacts } from './row-fates.js';

export interface DocumentOptions extends DecodeFacts {
  readonly encoder: DocumentEncoder | undefined;
  /** Appended to each document of text. */
  readonly appendId: number | undefined;
  /** Ids of token columns are below this. */
  readonly idsEnd: number;
  /** Rows of a token column have exactly this many ids; `undefined`: any number. */
  readonly rowTokens: number | undefined;
  readonly badRows: 'fail' | 'skip';
  /** `replace`: what is no valid UTF-8 becomes U+FFFD; `error`: its row is a bad one. */
  readonly invalidUtf8: 'error' | 'replace';
  readonly decode: (slice: EncodedSlice) => SliceRows;
}

type TokenRows = Extract<Rows, { kind: 'tokens' }>;

/** Of a sample. */
export type DeliveredTokens = Pick<Sample, 'tokens' | 'tokenStart'>;

const NO_TOKENS = new Int32Array(0);
const WITHOUT_TOKENS: DeliveredTokens = { tokens: undefined, tokenStart: 0 };

export class WindowDocuments implements DocumentSource, Provenance {
  readonly count: number;
  readonly source: number;
  /** Time spent in the tokenizer since the last `takeWork`. */
  #tokenizeMs = 0;
  #rowsSkipped = 0;
  #rowsExcluded = 0;
  #rowsFiltered = 0;
  #skipped: SkippedRows[];
  readonly #options: DocumentOptions;
  readonly #kind: WindowPayload['kind'];
  readonly #slices: readonly WindowSlice[];
  readonly #rows: readonly SliceRows[];
  /** First row of each slice, counted in the window. */
  readonly #starts: readonly number[];
  readonly #order: Permutation;
  /** By row; undefined where all are taken. */
  readonly #fates: Uint8Array | undefined;
  /** Tokens of the documents [#aheadStart, #aheadStart + #aheadBounds.length − 1). */
  #aheadStart = 0;
  #aheadIds: Int32Array = NO_TOKENS;
  #aheadBounds: Int32Array = new Int32Array(1);
  /** Whether they are delivered, with or without tokens. */
  #aheadTaken: readonly boolean[] = [];

  constructor(payload: WindowPayload, options: DocumentOptions) {
    this.#options = options;
    this.#kind = payload.kind;
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

  /** Nothing may be asked of the window any more. */
  close(): void {
    for (const rows of this.#rows) if (rows.kind === 'tokens') rows.release?.();
  }

  tokens(document: number): Int32Array {
    const index = document - this.#aheadStart;
    if (index < 0 || index >= this.#aheadBounds.length - 1) {
      this.#readAhead(document);
      return this.tokens(document);
    }
    return this.#aheadIds.subarray(this.#aheadBounds[index], this.#aheadBounds[index + 1]);
  }

  /** A row that is delivered whether it has tokens or not, with these; none where it is left out, which is counted. */
  deliver(document: number): readonly DeliveredTokens[] {
    if (this.#kind !== 'none') {
      const tokens = this.tokens(document);
      return this.#aheadTaken[document - this.#aheadStart] ? [{ tokens, tokenStart: 0 }] : [];
    }
    if (this.#rows[this.place(document).slice].kind === 'rejected') {
      this.#rowsSkipped++;
      return [];
    }
    return this.#isLeftOut(document) ? [] : [WITHOUT_TOKENS];
  }

  /** Its slice, and its row in that. */
  place(document: number): { readonly slice: number; readonly index: number } {
    const row = this.#order.at(document);
    const slice = this.#sliceOf(row);
    return { slice, index: row - this.#starts[slice] };
  }

  shard(document: number): number {
    return this.#slices[this.#sliceOf(this.#order.at(document))].shard;
  }

  row(document: number): number {
    const row = this.#order.at(document);
    const slice = this.#sliceOf(row);
    return this.#slices[slice].startRow + row - this.#starts[slice];
  }

  /** What becomes of a document: `ROW_TAKEN`, `ROW_EXCLUDED`, `ROW_OF_OTHER_SPLIT`, `ROW_FILTERED`. */
  fate(document: number): number {
    return this.#fates === undefined ? ROW_TAKEN : this.#fates[this.#order.at(document)];
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

  /** Slices are few (one a block of the group), so a linear search is the quickest. */
  #sliceOf(row: number): number {
    let slice = this.#starts.length - 1;
    while (this.#starts[slice] > row) slice--;
    return slice;
  }

  /** Makes the tokens of `first`, and of as many after it as are worth one call of the tokenizer. */
  #readAhead(first: number): void {
    this.#aheadStart = first;
    const row = this.#order.at(first);
    const slice = this.#sliceOf(row);
    const rows = this.#rows[slice];
    if (rows.kind === 'text') {
      this.#tokenizeAhead(first);
      return;
    }
    if (rows.kind === 'rejected') {
      this.#rowsSkipped++;
      this.#aheadIds = NO_TOKENS;
      this.#aheadBounds = new Int32Array(2);
      this.#aheadTaken = [false];
      return;
    }
    if (rows.kind === 'records') throw new Error('a window of records, of which nothing says what becomes of them');
    const index = row - this.#starts[slice];
    this.#aheadIds = this.#isLeftOut(first)
      ? NO_TOKENS
      : rows.valid?.[index] === 0
        ? this.reject(first, rows.problems?.get(index) ?? 'is null, or holds a null')
        : this.#checkedIds(rows, rows.bounds[index], rows.bounds[index + 1], first);
    this.#aheadBounds = Int32Array.of(0, this.#aheadIds.length);
    this.#aheadTaken = [this.#aheadIds !== NO_TOKENS];
  }

  #tokenizeAhead(first: number): void {
    const { encoder, appendId } = this.#options;
    if (encoder === undefined) throw new Error('a window of text without a tokenizer');
    const texts: Uint8Array[] = [];
    const accepted: boolean[] = [];
    let bytes = 0;
    for (let document = first; document < this.count && bytes < LIMITS.tokenizeAheadBytes; document++) {
      const text = this.#text(document);
      texts.push(text ?? new Uint8Array(0));
      accepted.push(text !== undefined);
      bytes += text?.length ?? 0;
    }
    this.#aheadTaken = accepted;
    const started = performance.now();
    const { joined, bounds } = join(texts, bytes);
    const encoded = encoder.encodeBatch(joined, bounds);
    this.#tokenizeMs += performance.now() - started;
    if (appendId === undefined) {
      this.#aheadIds = encoded.ids.slice();
      this.#aheadBounds = encoded.bounds;
      return;
    }
    const ids = new Int32Array(encoded.ids.length + texts.length);
    const idBounds = new Int32Array(texts.length + 1);
    let length = 0;
    for (let i = 0; i < texts.length; i++) {
      const own = encoded.ids.subarray(encoded.bounds[i], encoded.bounds[i + 1]);
      ids.set(own, length);
      length += own.length;
      if (accepted[i]) ids[length++] = appendId;
      idBounds[i + 1] = length;
    }
    this.#aheadIds = ids;
    this.#aheadBounds = idBounds;
  }

  /** A document's UTF-8; undefined where the row is skipped. */
  #text(document: number): Uint8Array | undefined {
    const row = this.#order.at(document);
    const slice = this.#sliceOf(row);
    const rows = this.#rows[slice];
    if (rows.kind === 'rejected') {
      this.#rowsSkipped++;
      return undefined;
    }
    if (rows.kind !== 'text') throw new Error('a window of one source with two kinds of rows');
    const { tokens: kept } = this.#slices[slice];
    // a slice whose tokens are to be kept is tokenized whole, so that they serve any selection; see `CachedDocuments`
    if (kept?.kind !== 'kept' && this.#isLeftOut(document) && kept?.kind !== 'wanted') return undefined;
    const index = row - this.#starts[slice];
    if (rows.valid?.[index] === 0) {
      this.reject(document, rows.problems?.get(index) ?? 'is null');
      return undefined;
    }
    const text = rows.bytes.subarray(rows.bounds[index], rows.bounds[index + 1]);
    const valid = toValidUtf8(text);
    if (valid !== text && this.#options.invalidUtf8 === 'error') this.reject(document, 'is not valid UTF-8');
    else if (valid.length > LIMITS.documentBytesMax)
      this.reject(document, `has ${valid.length} bytes of text; a document has at most ${LIMITS.documentBytesMax}`);
    else return valid;
    return undefined;
  }

  #checkedIds({ ids, idsBelow }: TokenRows, start: number, end: number, document: number): Int32Array {
    const { idsEnd, rowTokens } = this.#options;
    if (rowTokens !== undefined && end - start !== rowTokens) {
      return this.reject(document, `has ${end - start} ids; with \`packing: none\` every row has the sequence's ${rowTokens}`);
    }
    const narrow = ids instanceof Int32Array ? ids.subarray(start, end) : Int32Array.from(ids.subarray(start, end), narrowed);
    if (idsBelow !== undefined && idsBelow <= idsEnd) return narrow;
    // without a branch an id: the sign bit of `bad` is set by any id below 0 or above the last
    let bad = 0;
    for (let i = 0; i < narrow.length; i++) bad |= narrow[i] | (idsEnd - 1 - narrow[i]);
    if (bad < 0) {
      const at = narrow.findIndex((id) => id < 0 || id >= idsEnd);
      return this.reject(document, `holds the token id ${ids[start + at]}, and ids are from 0 to ${idsEnd - 1}`, 'TOKEN_OUT_OF_RANGE');
    }
    return narrow;
  }

  /** Whether the selection leaves it out; counts it then. */
  #isLeftOut(document: number): boolean {
    const fate = this.fate(document);
    if (fate === ROW_EXCLUDED) this.#rowsExcluded++;
    if (fate === ROW_FILTERED) this.#rowsFiltered++;
    return fate !== ROW_TAKEN;
  }

  /** A row that cannot be delivered: fails the run or leaves the row out, as the configuration says. One that nobody wants may be as it is. */
  reject(document: number, problem: string, code: 'BAD_ROW' | 'TOKEN_OUT_OF_RANGE' = 'BAD_ROW'): Int32Array {
    if (this.fate(document) !== ROW_TAKEN) return NO_TOKENS;
    const { encoded, shard, blockStartRow } = this.#slices[this.#sliceOf(this.#order.at(document))];
    const { uri } = encoded;
    const row = this.row(document);
    if (this.#options.badRows === 'skip') {
      this.#rowsSkipped++;
      this.#skipped.push({
        shard,
        blockStartRow,
        startRow: row,
        endRow: row + 1,
        reason: 'bad-row',
        problem: `row ${row} of ${uri} ${problem}`,
      });
      return NO_TOKENS;
    }
    throw new HeadraceError(code, `row ${row} of ${uri} ${problem}`, {
      detail: { uri, row },
      hint: 'Mend the data, or set `badRows: skip` to leave such rows out (they are counted).',
    });
  }
}

/** Of a slice that is left out. */
export function rejectedRows({ encoded, shard, blockStartRow, startRow }: WindowSlice): SkippedRows[] {
  if (encoded.format !== 'rejected') return [];
  const { rows, reason, problem } = encoded;
  return [{ shard, blockStartRow, startRow, endRow: startRow + rows, reason, problem }];
}

/** −1, which is out of range, for what does not fit. */
function narrowed(id: bigint): number {
  return id >= 0n && id <= 0x7fffffffn ? Number(id) : -1;
}

function join(texts: readonly Uint8Array[], bytes: number): { readonly joined: Uint8Array; readonly bounds: Int32Array } {
  const joined = new Uint8Array(bytes);
  const bounds = new Int32Array(texts.length + 1);
  let at = 0;
  for (const [i, text] of texts.entries()) {
    joined.set(text, at);
    at += text.length;
    bounds[i + 1] = at;
  }
  return { joined, bounds };
}
