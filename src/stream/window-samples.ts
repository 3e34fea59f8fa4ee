/** The rows of one window as samples, in a worker: their tokens, where the source serves any, and the bytes of their fields. */
import type { TokenArray } from '../core/sequence.js';
import type { DocumentSource, Sample } from '../pack/packer.js';
import type { RecordDocuments } from './record-documents.js';
import type { SampleFields } from './sample-fields.js';
import type { WindowDocuments } from './window-documents.js';
import type { WindowRows } from './window-rows.js';

/** What samples need of the documents that are theirs. */
export type SampleDocuments = WindowDocuments | RecordDocuments;

export class WindowSamples implements DocumentSource {
  readonly rows: WindowRows;
  readonly count: number;
  readonly #documents: SampleDocuments;
  readonly #fields: SampleFields;

  /** Of one window. */
  constructor(documents: SampleDocuments, fields: SampleFields) {
    this.#documents = documents;
    this.#fields = fields;
    this.rows = documents.rows;
    this.count = documents.count;
  }

  close(): void {
    this.#documents.close();
  }

  samples(document: number): readonly Sample[] {
    const delivered = this.#documents.deliver(document);
    if (delivered.length === 0) return [];
    const { slice, index } = this.rows.place(document);
    const problem = this.#fields.problemOf(slice, index);
    if (problem !== undefined) {
      this.#documents.reject(document, problem);
      return [];
    }
    let own: readonly Uint8Array[] | undefined;
    return delivered.map(({ tokens, tokenStart, made }) => ({
      tokens,
      tokenStart,
      fields: made === undefined ? (own ??= this.#fields.bytesOf(slice, index)) : this.#fields.bytesOf(slice, index, made),
    }));
  }

  tokens(document: number): TokenArray {
    return this.#documents.tokens(document);
  }
}
