/** Documents as the tokenizer takes them, bytes and bounds, and how texts become such parts of a bounded size. */

export interface Documents {
  readonly bytes: Uint8Array;
  /** [documents + 1] positions into `bytes`. */
  readonly bounds: Int32Array;
}

/** A part ends where it would pass this: what the reference holds of a part in memory is some fifty times as much. */
const PART_BYTES = 8_000_000;
/** … or this many documents. */
const PART_DOCUMENTS = 200_000;

/** The documents in order, in parts. A document is text, or bytes that may be anything. */
export function* inParts(documents: Iterable<string | Uint8Array>): Generator<Documents> {
  let pending: Uint8Array[] = [];
  let size = 0;
  for (const document of documents) {
    const bytes = typeof document === 'string' ? Buffer.from(document, 'utf8') : document;
    if (pending.length > 0 && (size + bytes.length > PART_BYTES || pending.length === PART_DOCUMENTS)) {
      yield packDocuments(pending);
      pending = [];
      size = 0;
    }
    pending.push(bytes);
    size += bytes.length;
  }
  if (pending.length > 0) yield packDocuments(pending);
}

export function packDocuments(documents: readonly (string | Uint8Array)[]): Documents {
  const encoded = documents.map((document) => (typeof document === 'string' ? Buffer.from(document, 'utf8') : document));
  const bounds = new Int32Array(documents.length + 1);
  for (const [i, document] of encoded.entries()) bounds[i + 1] = bounds[i] + document.length;
  return { bytes: Buffer.concat(encoded), bounds };
}
