/**
 * From records to token ids, in a worker: text as it is, chats by their template, or ids that a transform has made. A record is one row, or those that a
 * transform has made of it: each is a document.
 */
import type { EncodedRow } from '../chat/chat.js';
import type { Row } from '../decode/decoder.js';
import type { DocumentEncoder } from '../tokenize/tokenizer.js';
import type { MadeFields, RowOfValues } from '../transform/transform.js';
import { firstOutOfRange } from './token-range.js';

export type EncodedRecord =
  /** `ends`: of several documents, as of `DocumentSource`. `made`: of samples without tokens, the fields of each. The caller owns all. */
  | { readonly ids: Int32Array; readonly ends: Int32Array | undefined; readonly made?: readonly MadeFields[] }
  | { readonly problem: string; readonly code?: 'TOKEN_OUT_OF_RANGE' };

/** Of each record. */
export type EncodeRecords = (records: readonly (readonly RowOfValues[])[]) => EncodedRecord[];

/** `keepEmpty`: of all of these, a row without a token is a document as well. */
export function chatRecords(encode: (row: Row) => EncodedRow, keepEmpty = false): EncodeRecords {
  return (records) =>
    records.map((rows) => {
      const parts: Int32Array[] = [];
      for (const row of rows) {
        const encoded = encode(row as Row); // only rows of ids have what JSON does not
        if ('problem' in encoded) return encoded;
        parts.push(encoded.ids);
      }
      return joined(parts, keepEmpty);
    });
}

/** Rows whose `column` is token ids. `idsEnd`: they are below this. `rowTokens`: each row has exactly this many; `undefined`: any number. */
export function idRecords(column: string, idsEnd: number, rowTokens: number | undefined, keepEmpty = false): EncodeRecords {
  return (records) =>
    records.map((rows) => {
      const parts = rows.map((row) => row[column] as Int32Array);
      for (const ids of parts) {
        if (rowTokens !== undefined && ids.length !== rowTokens) {
          return { problem: `has ${ids.length} ids after its transform; with \`packing: none\` every row has the sequence's ${rowTokens}` };
        }
        const wrong = firstOutOfRange(ids, idsEnd);
        if (wrong < 0) continue;
        return {
          problem: `has the token id ${ids[wrong]} after its transform, and ids are from 0 to ${idsEnd - 1}`,
          code: 'TOKEN_OUT_OF_RANGE',
        };
      }
      return joined(parts, keepEmpty);
    });
}

/** Rows of fields, which have no tokens. */
export const fieldRecords: EncodeRecords = (records) =>
  records.map((rows) => ({ ids: new Int32Array(0), ends: undefined, made: rows as readonly MadeFields[] }));

/** Rows whose `column` is text. `appendId`: follows each document. */
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
