/** The rows of one window as samples, in a worker: their tokens, where the source serves any, and the bytes of their fields. */
import type { FieldRows } from '../decode/decoder.js';
import type { DocumentSource, Sample } from '../pack/packer.js';
import type { WindowPayload } from './messages.js';
import { WindowDocuments, type DocumentOptions } from './window-documents.js';
import type { WindowRows } from './window-rows.js';

const NO_FIELDS: readonly FieldRows[] = [];

export class WindowSamples implements DocumentSource {
  readonly rows: WindowRows;
  readonly count: number;
  readonly #documents: WindowDocuments;
  /** By slice. */
  readonly #fields: readonly (readonly FieldRows[])[];

  constructor(payload: WindowPayload, options: DocumentOptions) {
    this.#documents = new WindowDocuments(payload, options);
    this.#fields = payload.slices.map(({ beside }) => (beside && options.decodeBeside(beside).fields) ?? NO_FIELDS);
    this.rows = this.#documents.rows;
    this.count = this.rows.count;
  }

  close(): void {
    this.#documents.close();
  }

  sample(document: number): Sample | undefined {
    const row = this.#documents.deliver(document);
    if (row === undefined) return undefined;
    const { slice, index } = this.rows.place(document);
    const rows = this.#fields[slice];
    const bad = rows.find(({ valid }) => valid?.[index] === 0);
    if (bad !== undefined) {
      this.#documents.reject(document, bad.problems?.get(index) ?? `has a field ${bad.name} that ${bad.problem}`);
      return undefined;
    }
    return { tokens: row.tokens, fields: rows.map((field) => bytesOfRow(field, index)) };
  }

  tokens(document: number): Int32Array {
    return this.#documents.tokens(document);
  }
}

function bytesOfRow({ bytes, bounds, rowBytes }: FieldRows, row: number): Uint8Array {
  return bounds === undefined ? bytes.subarray(row * rowBytes, (row + 1) * rowBytes) : bytes.subarray(bounds[row], bounds[row + 1]);
}
