/** The documents of one window in a worker: decoded rows, visited in the window's order, tokenized a little ahead of the packer. */
import { LIMITS } from '../config/limits.js';
import { HeadraceError } from '../core/errors.js';
import { rawInt32, releaseBuffer } from '../core/raw-memory.js';
import type { TokenArray } from '../core/sequence.js';
import { toValidUtf8 } from '../core/utf8.js';
import type { Rows } from '../decode/decoder.js';
import { narrowIds } from '../decode/integers.js';
import type { DocumentSource, Sample } from '../pack/packer.js';
import { ROW_TAKEN } from '../select/selection.js';
import type { DocumentEncoder } from '../tokenize/tokenizer.js';
import type { MadeFields } from '../transform/transform.js';
import type { WindowPayload } from './messages.js';
import { firstOutOfRange } from './token-range.js';
import { WindowRows, type RowFacts } from './window-rows.js';

export interface DocumentOptions extends RowFacts {
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
}

type TokenRows = Extract<Rows, { kind: 'tokens' }>;

/** Of a sample: its tokens, and where a transform made its fields anew, these. */
export interface DeliveredTokens extends Pick<Sample, 'tokens' | 'tokenStart'> {
  readonly made?: MadeFields;
}

const NO_TOKENS = new Int32Array(0);
/** Texts that are tokenized at once have about the same size: with a little more, room for one portion is room for most. */
const GROWTH = 1.25;
/** What is joined is copied again before this is needed again: by any window of the worker. */
let joinedTexts = new Uint8Array(0);
const WITHOUT_TOKENS: DeliveredTokens = { tokens: undefined, tokenStart: 0 };

export class WindowDocuments implements DocumentSource {
  readonly rows: WindowRows;
  readonly count: number;
  readonly #options: DocumentOptions;
  readonly #kind: WindowPayload['kind'];
  #ownIds: Int32Array<ArrayBuffer> = new Int32Array(0);
  /** Tokens of the documents [#aheadStart, #aheadStart + #aheadBounds.length − 1). */
  #aheadStart = 0;
  #aheadIds: TokenArray = NO_TOKENS;
  #aheadBounds: Int32Array = new Int32Array(1);
  /** Whether they are delivered, with or without tokens. */
  #aheadTaken: readonly boolean[] = [];
  /** How many portions were read ahead before this one. */
  portion = 0;
  /** Text of the next portion that is tokenized. */
  #aheadBytes: number = LIMITS.tokenizeFirstBytes;

  constructor(payload: WindowPayload, options: DocumentOptions) {
    this.rows = new WindowRows(payload, options);
    this.count = this.rows.count;
    this.#options = options;
    this.#kind = payload.kind;
  }

  /** Nothing may be asked of the window any more. */
  close(): void {
    this.rows.release();
    releaseBuffer(this.#ownIds.buffer);
  }

  tokens(document: number): TokenArray {
    if (!this.isAhead(document)) {
      this.#readAhead(document);
      return this.tokens(document);
    }
    const index = document - this.#aheadStart;
    return this.#aheadIds.subarray(this.#aheadBounds[index], this.#aheadBounds[index + 1]);
  }

  /** Whether its tokens were made with those of the last document that was read. */
  isAhead(document: number): boolean {
    return document >= this.#aheadStart && document < this.#aheadStart + this.#aheadBounds.length - 1;
  }

  /** A row that is delivered whether it has tokens or not, with these; none where it is left out, which is counted. */
  deliver(document: number): readonly DeliveredTokens[] {
    if (this.#kind !== 'none') {
      const tokens = this.tokens(document);
      return this.#aheadTaken[document - this.#aheadStart] ? [{ tokens, tokenStart: 0 }] : [];
    }
    if (this.rows.rowsOf(this.rows.place(document).slice).kind === 'rejected') {
      this.rows.countRejected();
      return [];
    }
    return this.rows.isLeftOut(document) ? [] : [WITHOUT_TOKENS];
  }

  /** Makes the tokens of `first`, and of as many after it as are worth one call of the tokenizer. */
  #readAhead(first: number): void {
    this.#aheadStart = first;
    this.portion++;
    const { slice, index } = this.rows.place(first);
    const rows = this.rows.rowsOf(slice);
    if (rows.kind === 'text') {
      this.#tokenizeAhead(first);
      return;
    }
    if (rows.kind === 'rejected') {
      this.rows.countRejected();
      this.#aheadIds = NO_TOKENS;
      this.#aheadBounds = new Int32Array(2);
      this.#aheadTaken = [false];
      return;
    }
    if (rows.kind === 'records') throw new Error('a window of records, of which nothing says what becomes of them');
    this.#aheadIds = this.rows.isLeftOut(first)
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
    for (let document = first; document < this.count && bytes < this.#aheadBytes; document++) {
      const text = this.#text(document);
      texts.push(text ?? new Uint8Array(0));
      accepted.push(text !== undefined);
      bytes += text?.length ?? 0;
    }
    this.#aheadTaken = accepted;
    this.#aheadBytes = Math.min(2 * this.#aheadBytes, LIMITS.tokenizeAheadBytes);
    const started = performance.now();
    const { joined, bounds } = join(texts, bytes);
    const encoded = encoder.encodeBatch(joined, bounds);
    this.rows.tokenizeMs += performance.now() - started;
    const ids = this.#roomFor(encoded.ids.length + texts.length);
    if (appendId === undefined) {
      ids.set(encoded.ids);
      this.#aheadIds = ids;
      this.#aheadBounds = encoded.bounds;
      return;
    }
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

  /** Of the window: what was read ahead before has been packed, and its room is taken again. */
  #roomFor(ids: number): Int32Array {
    if (this.#ownIds.length < ids) {
      releaseBuffer(this.#ownIds.buffer);
      this.#ownIds = rawInt32(Math.ceil(ids * GROWTH));
    }
    return this.#ownIds;
  }

  /** A document's UTF-8; undefined where the row is skipped. */
  #text(document: number): Uint8Array | undefined {
    const { slice, index } = this.rows.place(document);
    const rows = this.rows.rowsOf(slice);
    if (rows.kind === 'rejected') {
      this.rows.countRejected();
      return undefined;
    }
    if (rows.kind !== 'text') throw new Error('a window of one source with two kinds of rows');
    const { tokens: kept } = this.rows.slices[slice];
    // a slice whose tokens are to be kept is tokenized whole, so that they serve any selection; see `CachedDocuments`
    if (kept?.kind !== 'kept' && this.rows.isLeftOut(document) && kept?.kind !== 'wanted') return undefined;
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

  #checkedIds({ ids, idsBelow }: TokenRows, start: number, end: number, document: number): TokenArray {
    const { idsEnd, rowTokens } = this.#options;
    if (rowTokens !== undefined && end - start !== rowTokens) {
      return this.reject(document, `has ${end - start} ids; with \`packing: none\` every row has the sequence's ${rowTokens}`);
    }
    const narrow = narrowIds(ids.subarray(start, end));
    if (idsBelow !== undefined && idsBelow <= idsEnd) return narrow;
    const wrong = firstOutOfRange(narrow, idsEnd);
    if (wrong < 0) return narrow;
    return this.reject(document, `holds the token id ${ids[start + wrong]}, and ids are from 0 to ${idsEnd - 1}`, 'TOKEN_OUT_OF_RANGE');
  }

  /** A row that cannot be delivered: fails the run or leaves the row out, as the configuration says. One that nobody wants may be as it is. */
  reject(document: number, problem: string, code: 'BAD_ROW' | 'TOKEN_OUT_OF_RANGE' = 'BAD_ROW'): Int32Array {
    if (this.rows.fate(document) !== ROW_TAKEN) return NO_TOKENS;
    const { uri } = this.rows.sliceOf(document).encoded;
    const row = this.rows.row(document);
    const message = `row ${row} of ${uri} ${problem}`;
    if (this.#options.badRows === 'skip') {
      this.rows.skip(document, message);
      return NO_TOKENS;
    }
    throw new HeadraceError(code, message, {
      detail: { uri, row },
      hint: 'Mend the data, or set `badRows: skip` to leave such rows out (they are counted).',
    });
  }
}

/** A document that is much larger than most has room of its own, which is not kept. */
function roomForTexts(bytes: number): Uint8Array {
  if (bytes > 8 * LIMITS.tokenizeAheadBytes) return new Uint8Array(bytes);
  if (bytes > joinedTexts.length) joinedTexts = new Uint8Array(Math.ceil(bytes * GROWTH));
  return joinedTexts.subarray(0, bytes);
}

function join(texts: readonly Uint8Array[], bytes: number): { readonly joined: Uint8Array; readonly bounds: Int32Array } {
  const joined = roomForTexts(bytes);
  const bounds = new Int32Array(texts.length + 1);
  let at = 0;
  for (const [i, text] of texts.entries()) {
    joined.set(text, at);
    at += text.length;
    bounds[i + 1] = at;
  }
  return { joined, bounds };
}
