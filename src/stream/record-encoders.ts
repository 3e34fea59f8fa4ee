/** From records to token ids, in a worker: text as it is, or chats by their template. A record is one row, or those that a transform has made of it: each is a document. */
import type { EncodedRow } from '../chat/chat.js';
import type { Row } from '../decode/decoder.js';
import type { DocumentEncoder } from '../tokenize/tokenizer.js';

export type EncodedRecord =
  /** `ends`: of several documents, as of `DocumentSource`. The caller owns both. */
  { readonly ids: Int32Array; readonly ends: Int32Array | undefined } | { readonly problem: string };

/** Of each record. */
export type EncodeRecords = (records: readonly (readonly Row[])[]) => EncodedRecord[];

export function chatRecords(encode: (row: Row) => EncodedRow): EncodeRecords {
  return (records) =>
    records.map((rows) => {
      const parts: Int32Array[] = [];
      for (const row of rows) {
        const encoded = encode(row);
        if ('problem' in encoded) return encoded;
        parts.push(encoded.ids);
      }
      return joined(parts);
    });
}

/** Rows whose `column` is text. `appendId`: follows each document. `keepEmpty`: one without a token is a document as well. */
export function textRecords(column: string, encoder: DocumentEncoder, appendId: number | undefined, keepEmpty = false): EncodeRecords {
  return (records) => {
    const texts = records.flat().map((row) => Buffer.from(row[column] as string));
    const bounds = new Int32Array(texts.length + 1);
    for (const [i, text] of texts.entries()) bounds[i + 1] = bounds[i] + text.length;
    const encoded = encoder.encodeBatch(Buffer.concat(texts), bounds);
    let next = 0;
    return records.map((rows) =>
      joined(
        rows.map(() => {
          const own = encoded.ids.subarray(encoded.bounds[next], encoded.bounds[next + 1]);
          next++;
          return appendId === undefined ? own : withId(own, appendId);
        }),
        keepEmpty,
      ),
    );
  };
}

function withId(ids: Int32Array, id: number): Int32Array {
  const longer = new Int32Array(ids.length + 1);
  longer.set(ids);
  longer[ids.length] = id;
  return longer;
}

/** A copy. */
function joined(parts: readonly Int32Array[], keepEmpty = false): EncodedRecord {
  const filled = keepEmpty ? parts : parts.filter(({ length }) => length > 0);
  const ends = new Int32Array(filled.length);
  const ids = new Int32Array(filled.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const [i, part] of filled.entries()) {
    ids.set(part, at);
    at += part.length;
    ends[i] = at;
  }
  return { ids, ends: filled.length > 1 ? ends : undefined };
}
