/** The rows of one window as samples, in a worker: their tokens, where the source serves any, and the bytes of their fields. */
import type { FieldRows } from '../decode/decoder.js';
import { valueOfRow } from '../decode/field-rows.js';
import type { DocumentSource, Sample } from '../pack/packer.js';
import type { WindowPayload } from './messages.js';
import type { RecordDocuments } from './record-documents.js';
import type { DecodeFacts } from './row-fates.js';
import type { WindowDocuments } from './window-documents.js';
import type { WindowRows } from './window-rows.js';

const PRESENT = Uint8Array.of(1);
const ABSENT = Uint8Array.of(0);
const NO_FIELDS: readonly FieldRows[] = [];

/** What samples need of the documents that are theirs. */
export type SampleDocuments = WindowDocuments | RecordDocuments;

export class WindowSamples implements DocumentSource {
  readonly rows: WindowRows;
  readonly count: number;
  readonly #documents: SampleDocuments;
  /** By slice. */
  readonly #fields: readonly (readonly FieldRows[])[];
  readonly #optional: ReadonlySet<string>;

  /** `documents`: of the payload. `optional`: fields that a row may be without. Each is followed by whether the row has it. */
  constructor({ slices }: WindowPayload, documents: SampleDocuments, { decodeBeside }: DecodeFacts, optional: readonly string[]) {
    this.#optional = new Set(optional);
    this.#documents = documents;
    this.#fields = slices.map(({ beside }) => (beside && decodeBeside(beside).fields) ?? NO_FIELDS);
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
    const rows = this.#fields[slice];
    const bad = rows.find((field) => field.valid?.[index] === 0 && !this.#isAbsent(field, index));
    if (bad !== undefined) {
      this.#documents.reject(document, bad.problems?.get(index) ?? `has a field ${bad.name} that ${bad.problem}`);
      return [];
    }
    const fields = rows.flatMap((field) => this.#valuesOf(field, index));
    return delivered.map((tokens) => ({ ...tokens, fields }));
  }

  #isAbsent({ name, nulls }: FieldRows, index: number): boolean {
    return nulls?.[index] === 1 && this.#optional.has(name);
  }

  #valuesOf(field: FieldRows, index: number): readonly Uint8Array[] {
    if (!this.#optional.has(field.name)) return [valueOfRow(field, index)];
    return this.#isAbsent(field, index) ? [new Uint8Array(field.rowBytes), ABSENT] : [valueOfRow(field, index), PRESENT];
  }

  tokens(document: number): Int32Array {
    return this.#documents.tokens(document);
  }
}
