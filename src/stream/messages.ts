/** What the main thread and the worker threads say to each other. Bulk data travels by transfer. */
import type { FormatName } from '../core/format.js';
import type { EncodedSlice, FetchedBeside, ScanKind, Scans } from '../decode/decoder.js';
import type { ErrorRecord } from '../core/errors.js';
import type { SourceKind } from '../core/fields.js';
import type { Packing } from '../core/packing.js';
import type { SkippedRows } from '../core/skip.js';
import type { ByteRange } from '../store/store.js';
import type { PackPosition } from '../pack/packer.js';
import type { SequenceChunk } from '../core/sequence.js';
import type { RowSelection } from '../select/selection.js';
import type { ChatSettings } from '../chat/chat.js';
import type { MadeField, TransformSettings } from '../transform/transform.js';
import type { TokenizerSourceFile } from '../tokenize/load-tokenizer.js';
import type { PreparedTokenizer } from '../tokenize/prepared.js';
import type { TokenSpelling } from '../tokenize/tokenizer.js';
import type { IdBytes } from './token-entry.js';

/** A worker thread's first message. */
export interface WorkerSettings {
  readonly tokenizer: TokenizerSettings | undefined;
  readonly length: number;
  readonly packing: Packing;
  /** Documents are tokenized for the token cache, and not packed. */
  readonly tokensOnly?: boolean;
  readonly badRows: 'fail' | 'skip';
  readonly badBlocks: 'fail' | 'skip';
  readonly padId: number;
  /** Ids of token columns are below this. */
  readonly idsEnd: number;
  /** What chats are tokenized with, where a source has some. */
  readonly chatTokenizers: ChatTokenizerSettings | undefined;
  /** By source; `undefined`: its rows are no chats. */
  readonly chats: readonly (ChatSettings | undefined)[];
  /** By source; `undefined`: its rows are documents as they are. */
  readonly transforms: readonly (TransformSettings | undefined)[];
  /** By source: fields that samples may be without. */
  readonly optionalFields: readonly (readonly string[])[];
  /** Of the random numbers that transforms have, in training. */
  readonly seed: number;
}

export interface ChatTokenizerSettings {
  /** The tokenizer, with special tokens matched, and with special tokens as text. */
  readonly matched: PreparedTokenizer;
  readonly plain: PreparedTokenizer;
  readonly spelling: TokenSpelling | undefined;
}

export interface TokenizerSettings {
  readonly prepared: PreparedTokenizer;
  /** For messages. */
  readonly file: string;
  /** Appended to each document of text. */
  readonly appendId: number | undefined;
  readonly invalidUtf8: 'error' | 'replace';
  /** Of an id in the token cache. */
  readonly idBytes: IdBytes;
}

/** The rows of a window, fetched: all that a worker needs to make its sequences. */
export interface WindowPayload {
  readonly sourceIndex: number;
  readonly kind: SourceKind;
  readonly slices: readonly WindowSlice[];
  /** How often the source was gone through before. */
  readonly epoch: number;
  /** Key of the permutation of the window's rows; `undefined`: as they lie. */
  readonly orderKey: Uint32Array | undefined;
  /** Which of the rows are taken; `undefined`: all. The others keep their places in the order. */
  readonly selection: RowSelection | undefined;
  /** Of samples without tokens: what the source's transform sees and makes of them. */
  readonly fields?: readonly MadeField[] | undefined;
}

export interface WindowSlice {
  readonly encoded: EncodedSlice;
  readonly shard: number;
  /** Of the shard, below the source's root. */
  readonly path: string;
  /** Beside its rows: the ids that the selection asks for, the fields of samples, the columns that the filter decides by. */
  readonly beside: FetchedBeside | undefined;
  /** The slice's first row, counted in the shard. */
  readonly startRow: number;
  /** First row of the slice's block, counted in the shard. */
  readonly blockStartRow: number;
  /** It was read anew, since it had been damaged. */
  readonly again: boolean;
  /** What the token cache has to do with it; `undefined`: nothing. */
  readonly tokens: SliceTokens | undefined;
}

export type SliceTokens =
  /** It has them (see `readTokenEntry`), so the rows are omitted. Transferred. */
  | { readonly kind: 'kept'; readonly entry: Uint8Array }
  /** It wants them, under this key. */
  | { readonly kind: 'wanted'; readonly key: string };

/** A slice whose bytes are to be read anew. */
export interface DamagedSlice {
  /** Index into the window's slices. */
  readonly slice: number;
  /** What the object was read in to have it. */
  readonly ranges: readonly ByteRange[];
}

export type WorkerRequest =
  | { readonly type: 'configure'; readonly settings: WorkerSettings }
  /** Windows of this format will come. It may come before the settings. */
  | { readonly type: 'expect'; readonly format: FormatName }
  /** A tokenizer's file is to be compiled. It comes before the settings. */
  | { readonly type: 'compile'; readonly id: number; readonly source: TokenizerSourceFile }
  | { readonly type: 'open'; readonly window: number; readonly payload: WindowPayload; readonly from: PackPosition }
  | { readonly type: 'pack'; readonly id: number; readonly window: number; readonly sequencesMax: number }
  /** Tokens of a slice that the window wanted: another one made them. Transferred. */
  | { readonly type: 'tokens'; readonly window: number; readonly slice: number; readonly entry: Uint8Array }
  | { readonly type: 'close'; readonly window: number }
  | { readonly type: 'scan'; readonly id: number; readonly kind: ScanKind; readonly request: Scans[ScanKind]['request'] };

export type WorkerReply =
  | { readonly type: 'ready' }
  | { readonly type: 'unusable'; readonly error: ErrorRecord }
  | { readonly type: 'packed'; readonly id: number; readonly result: PackResult }
  | { readonly type: 'scanned'; readonly id: number; readonly result: Scans[ScanKind]['result'] }
  /** Transferred. `undefined`: see `compileTokenizer`. */
  | { readonly type: 'compiled'; readonly id: number; readonly result: Uint8Array | undefined }
  /** All rows of a slice of the window are tokenized: for the token cache. Transferred. */
  | { readonly type: 'tokenized'; readonly window: number; readonly key: string; readonly entry: Uint8Array<ArrayBuffer> }
  /** The window is to be closed, and opened again with these slices read anew. */
  | { readonly type: 'damaged'; readonly id: number; readonly slices: readonly DamagedSlice[] }
  | { readonly type: 'failed'; readonly id: number; readonly error: ErrorRecord };

export interface PackResult {
  readonly chunk: SequenceChunk;
  /** Where the window goes on. */
  readonly end: PackPosition;
  /** Documents of the window. */
  readonly documents: number;
  /** No sequence is left. */
  readonly done: boolean;
  readonly work: WorkerWork;
}

/** What a request cost, and what it left out. */
export interface WorkerWork {
  readonly decodeMs: number;
  readonly tokenizeMs: number;
  /** Bytes of text that were tokenized. */
  readonly tokenizedBytes: number;
  readonly packMs: number;
  readonly rowsSkipped: number;
  /** Tokens of documents that were longer than a sequence, under `long: truncate`. */
  readonly tokensTruncated: number;
  readonly skipped: readonly SkippedRows[];
  readonly rowsExcluded: number;
  readonly rowsFiltered: number;
}
