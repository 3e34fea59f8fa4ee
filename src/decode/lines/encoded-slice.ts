/** A slice of rows that are lines, on its way to a worker: content from a mark before it to one behind it. */
import type { ByteRange } from '../../store/store.js';
import type { Wanted } from '../decoder.js';
import type { LineColumns } from './columns.js';

export interface EncodedLineSlice {
  readonly format: 'lines';
  /** For messages. */
  readonly uri: string;
  /** Owns its buffer. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** What the object was read in to have them: to be read anew, where they are damaged. */
  readonly ranges: readonly ByteRange[];
  /** Lines of the object before the bytes. */
  readonly line: number;
  /** The slice is rows [skipRows, skipRows + rows) of the bytes. */
  readonly skipRows: number;
  readonly rows: number;
  /** Rows, counted from the first of the bytes, that are longer than a document may be: they are not in the bytes. How many bytes each has. */
  readonly longRows: readonly { readonly row: number; readonly bytes: number }[];
  readonly columns: LineColumns;
  /** `record`: the line itself. */
  readonly kind: 'text' | 'tokens' | 'records' | 'record';
}

/** What is wanted beside the rows lies in the same bytes. */
export interface EncodedLineBeside {
  readonly format: 'lines';
  readonly slice: EncodedLineSlice;
  readonly wanted: Wanted;
  readonly ranges: readonly ByteRange[];
}
