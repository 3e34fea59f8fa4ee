/** Samples as objects of named columns: values in their JSON members, and texts. */
import { isUtf8 } from 'node:buffer';
import type { JsonValue } from '../../core/canonical-json.js';
import type { DecodedRecord, RecordRows } from '../decoder.js';
import { memberChoices } from './member-choice.js';
import type { TarSamples } from './members.js';
import { sampleValue } from './sample-values.js';

/** The rows of a slice. A sample without the main column is a bad row; others are null. */
export function tarRecords(samples: TarSamples, main: string, columns: readonly string[]): RecordRows {
  const readers = columns.map((column) => ({ column, choices: memberChoices(column, 'value') }));
  return {
    kind: 'records',
    count: samples.count,
    at: (row): DecodedRecord => {
      const values: [string, JsonValue][] = [];
      let isValidUtf8 = true;
      for (const { column, choices } of readers) {
        const value = sampleValue(samples, choices, row);
        if (value.kind === 'bad' || (value.kind === 'missing' && column === main)) return { problem: value.problem };
        if (value.kind === 'missing') {
          values.push([column, null]);
          continue;
        }
        isValidUtf8 &&= isUtf8(value.bytes) && (value.kind !== 'json' || hasWholeCharacters(value.json, value.bytes));
        values.push([column, value.kind === 'json' ? (value.json ?? null) : textOf(value.bytes)]);
      }
      return { row: Object.fromEntries(values), isValidUtf8 };
    },
  };
}

/** JSON writes half a surrogate pair as an escape only, also when it is written anew. */
const HALF_PAIR = /(?<!\\)(?:\\\\)*\\ud/;

function hasWholeCharacters(json: JsonValue | undefined, { buffer, byteOffset, length }: Uint8Array): boolean {
  const source = Buffer.from(buffer, byteOffset, length);
  if (!source.includes('\\ud') && !source.includes('\\uD')) return true;
  return !HALF_PAIR.test(JSON.stringify(json ?? null));
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
}
