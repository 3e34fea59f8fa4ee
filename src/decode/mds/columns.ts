/** What an MDS shard says of its columns, and which of them a source wants. Pure: its JSON in, columns out. */
import * as z from 'zod';
import { HeadraceError, messageOf } from '../../core/errors.js';
import { nearestNames } from '../../core/nearest-name.js';
import { DTYPES, type Dtype } from '../integers.js';
import { encodingOf, fixedBytesOf, type MdsEncoding } from './encoding.js';
import type { MdsColumn } from './layout.js';
import { mdsInvalid, mdsUnsupported, type MdsPlace } from './mds-error.js';

const configSchema = z.object({
  column_names: z.array(z.string()),
  column_encodings: z.array(z.string()),
  column_sizes: z.array(z.int().min(0).nullable()),
});

/** Errors: `SHARD_INVALID`, `SHARD_UNSUPPORTED`. */
export function readColumns(config: Uint8Array, place: MdsPlace): MdsColumn[] {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(config));
  } catch (error) {
    throw mdsInvalid(place, `its description of the columns is no JSON: ${messageOf(error)}`);
  }
  const { version, format } = Object(value) as Readonly<Record<string, unknown>>;
  if (format !== undefined && format !== 'mds') {
    throw mdsUnsupported(place.uri, `it says that its format is ${JSON.stringify(format)}`, 'Write it with MDSWriter.');
  }
  if (version !== undefined && version !== 2) {
    throw mdsUnsupported(place.uri, `it says that it has version ${JSON.stringify(version)}, and 2 is read`, 'Write it with MDSWriter.');
  }
  const parsed = configSchema.safeParse(value);
  if (!parsed.success) throw mdsInvalid(place, 'its description of the columns lacks names, encodings or sizes');
  const { column_names: names, column_encodings: encodings, column_sizes: sizes } = parsed.data;
  if (names.length !== encodings.length || names.length !== sizes.length || new Set(names).size !== names.length) {
    throw mdsInvalid(place, `it names ${names.length} columns, ${encodings.length} encodings and ${sizes.length} sizes, or a column twice`);
  }
  return names.map((name, i) => {
    // a size of 0 says nothing, as it does to the writer's own reader
    const bytes = sizes[i] === 0 ? null : sizes[i];
    const encoding = encodingOf(encodings[i]);
    if (encoding.kind !== 'unknown' && bytes !== (fixedBytesOf(encoding) ?? null)) {
      throw mdsInvalid(place, `its column ${name} (${encodings[i]}) has values of ${bytes ?? 'any number of'} bytes`);
    }
    return { name, encoding: encodings[i], bytes };
  });
}

/** Bytes that a sample has at least. */
export function leastBytesOf(columns: readonly MdsColumn[]): number {
  return columns.reduce((sum, { bytes }) => sum + (bytes ?? SIZE_BYTES), 0);
}

/** The size of a value, where each sample says it. */
export const SIZE_BYTES = 4;

export type ColumnUse = 'text' | 'tokens' | 'id';

/** Errors: `COLUMN_MISSING`, `COLUMN_TYPE`, `SHARD_UNSUPPORTED`. */
export function findColumn(columns: readonly MdsColumn[], name: string, use: ColumnUse, dtype: Dtype | undefined, uri: string): MdsColumn {
  const column = namedColumn(columns, name, uri);
  const encoding = encodingOf(column.encoding);
  checkReadable(name, encoding.kind, uri);
  const problem = problemOf(encoding, use, dtype);
  if (problem === undefined) return column;
  throw new HeadraceError('COLUMN_TYPE', `the column ${name} of ${uri} is ${column.encoding}, ${problem}`, {
    detail: { uri, column: name, encoding: column.encoding },
    hint: HINTS[use],
  });
}

const HINTS: Readonly<Record<ColumnUse, string>> = {
  text: 'Text is a column of str or bytes. A column of token ids is named in `tokens`.',
  tokens: `Token ids are a column of ndarray, ndarray:TYPE or ndarray:TYPE:LENGTH (${DTYPES.join(', ')}), or of bytes with \`array.dtype\`.`,
  id: 'Ids are text (str, str_int) or integers.',
};

/** Why a column cannot be used so, in the middle of a sentence. */
function problemOf(encoding: MdsEncoding, use: ColumnUse, dtype: Dtype | undefined): string | undefined {
  const { kind } = encoding;
  switch (use) {
    case 'text':
      return kind === 'text' || kind === 'bytes' ? undefined : 'not text';
    case 'id':
      return kind === 'text' || (kind === 'digits' && encoding.isInteger) || (kind === 'number' && isInteger(encoding.dtype))
        ? undefined
        : 'neither text nor an integer';
    case 'tokens': {
      if (kind === 'bytes') return dtype === undefined ? 'and nothing says what integers the bytes are' : undefined;
      if (kind !== 'array' || (encoding.dtype !== undefined && !isInteger(encoding.dtype))) return 'not an array of integers';
      return isRow(encoding.shape ?? []) ? undefined : 'an array of several dimensions';
    }
  }
}

export function isInteger(dtype: string): dtype is Dtype {
  return DTYPES.some((own) => own === dtype);
}

/** Whether an array of the shape is one row of numbers: [n], or [1, n] as tokenizers give it. */
export function isRow(shape: readonly number[]): boolean {
  return shape.filter((size) => size !== 1).length <= 1;
}

/** Errors: `SHARD_UNSUPPORTED` where the column is pickled. */
export function checkReadable(name: string, kind: MdsEncoding['kind'], uri: string): void {
  if (kind !== 'pickle') return;
  throw mdsUnsupported(
    uri,
    `its column ${name} is pickled, which nothing can read without executing what the file says`,
    'Write the column with another encoding: str, bytes, json or ndarray. Other columns of the shard can be read.',
  );
}

/** Errors: `COLUMN_MISSING`. */
export function namedColumn(columns: readonly MdsColumn[], name: string, uri: string): MdsColumn {
  const column = columns.find((own) => own.name === name);
  if (column !== undefined) return column;
  const names = columns.map((own) => own.name);
  const near = nearestNames(name, names);
  throw new HeadraceError('COLUMN_MISSING', `${uri} has no column ${name}`, {
    detail: { uri, column: name },
    hint: `${near.length > 0 ? `Did you mean ${near.join(' or ')}? ` : ''}It has ${names.slice(0, 20).join(', ')}.`,
  });
}
