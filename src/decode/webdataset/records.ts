/** Samples as objects of named columns: values in their JSON members, and texts. */
import { isUtf8 } from 'node:buffer';
import type { JsonValue } from '../../core/canonical-json.js';
import { HeadraceError } from '../../core/errors.js';
import type { DecodedRecord, RecordRows } from '../decoder.js';
import { memberChoices, type MemberChoice } from './member-choice.js';
import type { TarSamples } from './members.js';
import { sampleValue } from './sample-values.js';

/** The rows of a slice. The main column has its own name, and the others those that a template has for them. */
export function tarRecords(samples: TarSamples, main: string, columns: readonly string[]): RecordRows {
  const readers = columns.map((column) => ({
    column,
    name: column === main ? column : variableName(column),
    choices: memberChoices(column, 'value'),
  }));
  return {
    kind: 'records',
    count: samples.count,
    at: (row): DecodedRecord => {
      const values: [string, JsonValue][] = [];
      let isValidUtf8 = true;
      for (const { column, name, choices } of readers) {
        const value = sampleValue(samples, choices, row);
        if (value.kind === 'bad' || (value.kind === 'missing' && column === main)) return { problem: value.problem };
        if (value.kind === 'missing') {
          values.push([name, null]);
          continue;
        }
        isValidUtf8 &&= isUtf8(value.bytes) && (value.kind !== 'json' || hasWholeCharacters(value.json, value.bytes));
        values.push([name, value.kind === 'json' ? (value.json ?? null) : textOf(value.bytes)]);
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

/** What a template calls a column: the last part of its path, or its member without the ending: `tools` of `json.tools`, and of `tools.json`. */
export function variableName(column: string): string {
  const [{ member, field = [] }]: readonly MemberChoice[] = memberChoices(column, 'value');
  const last = field.at(-1);
  if (last !== undefined) return last;
  const dot = member.lastIndexOf('.');
  return dot > 0 ? member.slice(0, dot) : member;
}

/** Errors: `COLUMN_TYPE` where two columns have one name. */
export function checkVariables(main: string, columns: readonly string[]): void {
  const byName = new Map<string, string>();
  for (const column of columns) {
    if (column === main) continue;
    const name = variableName(column);
    const other = byName.get(name);
    if (other !== undefined) {
      throw new HeadraceError('COLUMN_TYPE', `the columns ${other} and ${column} are both ${name} to a template`, {
        detail: { column, other },
        hint: 'Name one of them, or write the value under another name.',
      });
    }
    byName.set(name, column);
  }
}
