/**
 * A source's transform in a worker: the user's function is asked for each row, and its answer becomes the rows that documents are made of, or a problem.
 *
 *   row, context ──function──▶ null, [] ─────▶ left out
 *                          ──▶ row, [rows] ──▶ rows: one document each
 *                          ──▶ anything else, an exception ──▶ a problem, which the configuration's policy for bad rows decides about
 */
import { LIMITS } from '../config/limits.js';
import type { JsonValue } from '../core/canonical-json.js';
import { bytesOfValue, isListOfValues, isWellFormed, type FieldValue } from '../core/field-values.js';
import { describeField, type FieldType } from '../core/fields.js';
import type { RowContext } from './context.js';
import { describeThrown } from './thrown.js';

/** Crosses to worker threads. */
export interface TransformSettings {
  /** Name of its source. */
  readonly source: string;
  /** For messages. */
  readonly file: string;
  /** The ES module. */
  readonly code: string;
  readonly makes: MadeColumn;
}

/** What the function's rows are made into. */
export interface MadeColumn {
  readonly column: string;
  /**
   * `text`, `ids`: text, or token ids; all else of the rows is of no use. `messages`: whatever a template of chats reads. `fields`: what samples carry, and
   * no one column.
   */
  readonly kind: 'text' | 'ids' | 'messages' | 'fields';
  /** By their names in a row: columns that are null where the function's rows have none; beside fields the row has them, and they are of no use in an answer. */
  readonly columns: readonly string[];
  /** `replace`: half a surrogate pair becomes U+FFFD; `error`: its row is a bad one, as text that is no valid UTF-8. */
  readonly invalidUtf8: 'error' | 'replace';
  /** Of `fields`: which; known when the shards are. */
  readonly fields?: readonly MadeField[] | undefined;
}

/** A row as JSON has it, but that a column of token ids is an array of its own, and a field what the type of the field is. */
export type RowOfValues = Readonly<Record<string, JsonValue | Int32Array | FieldValue>>;

/** A field that a transform sees, and may make anew. */
export interface MadeField {
  readonly name: string;
  readonly type: FieldType;
  /** Samples may be without it: it is null then. */
  readonly isOptional: boolean;
}

/** What a transform says of fields, by name: their bytes, null for those that a sample is without. The others are as the row has them. */
export type MadeFields = Readonly<Record<string, Uint8Array | null>>;

/** What a module exports: see docs/transforms.md. */
export type TransformFunction = (row: RowOfValues, context: RowContext) => unknown;

export type TransformedRow =
  /** None: the row is left out. `bytes`: about what they take. */
  | { readonly rows: readonly RowOfValues[]; readonly bytes: number }
  /** Goes on a sentence that begins with the row. `isDefect`: of the function, whatever the row, so that no row may be left out for it. */
  | { readonly problem: string; readonly isDefect?: boolean };

/** A transform, ready to be asked. */
export interface Transform extends Omit<TransformSettings, 'code'> {
  readonly transform: TransformFunction;
}

/** Never throws. */
export function transformRow({ transform, file, makes }: Transform, row: RowOfValues, context: RowContext): TransformedRow {
  try {
    const answer = transform(row, context);
    if (isPromise(answer)) return { problem: `is transformed by ${file} to a promise, and a transform cannot wait`, isDefect: true };
    const made = Array.isArray(answer) ? rowsOf(answer, makes) : answer === null ? NONE : rowOf(answer, makes);
    return 'problem' in made ? { problem: `is transformed by ${file} to ${made.problem}` } : made;
  } catch (error) {
    return { problem: `cannot be transformed by ${file}: ${describeThrown(error)}` };
  }
}

/** `problem`: what it is instead. */
type Made = { readonly rows: readonly RowOfValues[]; readonly bytes: number } | { readonly problem: string };

const NONE: Made = { rows: [], bytes: 0 };
/** Ids as they are must pass: no file of them has a longer row. */
const ID_BYTES_MAX = LIMITS.arrayRowIdsMax * Int32Array.BYTES_PER_ELEMENT;
const BYTES_MAX: Readonly<Record<MadeColumn['kind'], number>> = {
  text: LIMITS.documentBytesMax,
  messages: LIMITS.documentBytesMax,
  ids: ID_BYTES_MAX,
  fields: LIMITS.transformFieldBytesMax,
};

function rowsOf(answers: readonly unknown[], makes: MadeColumn): Made {
  if (answers.length > LIMITS.transformRowsMax) return { problem: `${answers.length} rows; it may be ${LIMITS.transformRowsMax}` };
  const rows: RowOfValues[] = [];
  let bytes = 0;
  for (const [index, answer] of answers.entries()) {
    const made = rowOf(answer, makes);
    if ('problem' in made) return { problem: `a list whose item ${index} is ${made.problem}` };
    rows.push(...made.rows);
    bytes += made.bytes;
    if (bytes > BYTES_MAX[makes.kind]) return { problem: `more than ${BYTES_MAX[makes.kind]} bytes` };
  }
  return { rows, bytes };
}

function rowOf(answer: unknown, makes: MadeColumn): Made {
  if (typeof answer !== 'object' || answer === null || Array.isArray(answer)) return { problem: `${kindOf(answer)}, not to a row` };
  const made = madeRow(answer, makes);
  if ('problem' in made || made.bytes <= BYTES_MAX[makes.kind]) return made;
  return { problem: `a row of ${made.bytes} bytes; it may have ${BYTES_MAX[makes.kind]}` };
}

function madeRow(answer: object, makes: MadeColumn): Made {
  switch (makes.kind) {
    case 'text':
      return rowOfText(answer, makes);
    case 'ids':
      return rowOfIds(answer, makes);
    case 'messages':
      return rowOfMessages(answer, makes);
    case 'fields':
      return rowOfFields(answer, makes);
  }
}

/** With the text alone: what else the function has in its row would be held for nothing. */
function rowOfText(answer: object, { column, invalidUtf8 }: MadeColumn): Made {
  const text = (answer as Readonly<Record<string, unknown>>)[column];
  if (typeof text !== 'string') return { problem: `a row whose ${column} is ${kindOf(text)}, not text` };
  if (invalidUtf8 === 'error' && !isWellFormed(text)) return { problem: `a row whose ${column} has half a surrogate pair` };
  return { rows: [{ [column]: text }], bytes: Buffer.byteLength(text) };
}

/** In a copy: the function may use its array again for the next row. That ids are of the vocabulary, whoever takes them checks. */
function rowOfIds(answer: object, { column }: MadeColumn): Made {
  const value = (answer as Readonly<Record<string, unknown>>)[column];
  if (!isListOfValues(value)) return { problem: `a row whose ${column} is ${kindOf(value)}, not a list of token ids` };
  const bytes = value.length * Int32Array.BYTES_PER_ELEMENT;
  if (bytes > ID_BYTES_MAX) return { problem: `a row of ${value.length} token ids; it may have ${LIMITS.arrayRowIdsMax}` };
  const ids = int32sOf(value);
  if ('wrong' in ids) return { problem: `a row whose ${column} holds what is no token id, at ${ids.wrong}` };
  return { rows: [{ [column]: ids.ids }], bytes };
}

/** A copy of integers that 32 bits hold, or the place of the first value that is none. */
export function int32sOf(values: ArrayLike<unknown>): { readonly ids: Int32Array } | { readonly wrong: number } {
  if (values instanceof Int32Array) return { ids: values.slice() };
  const ids = new Int32Array(values.length);
  for (let i = 0; i < ids.length; i++) {
    const value = values[i];
    ids[i] = Number(value); // modulo 2^32, and 0 of what is no number
    // eslint-disable-next-line eqeqeq -- an integer of 64 bits equals its number
    if ((typeof value !== 'number' && typeof value !== 'bigint') || ids[i] != value) return { wrong: i };
  }
  return { ids };
}

/**
 * The bytes of the fields that the answer has, null for those that it says the sample is without; the others stay as the row has them. A name that is neither
 * a field nor a column would be forgotten without a word, and is as often a mistake.
 */
function rowOfFields(answer: object, { columns, fields = [] }: MadeColumn): Made {
  const values = answer as Readonly<Record<string, unknown>>;
  const stranger = Object.keys(values).find((name) => !columns.includes(name) && !fields.some((field) => field.name === name));
  if (stranger !== undefined) return { problem: `a row that has ${stranger}, which is neither a field nor a column` };
  const made: Record<string, Uint8Array | null> = {};
  let bytes = 0;
  for (const { name, type, isOptional } of fields) {
    if (!Object.hasOwn(values, name)) continue;
    const value = values[name];
    const own = value === null && isOptional ? null : bytesOfValue(type, value);
    if (own === undefined) return { problem: `a row whose ${name} is ${kindOf(value)}, and the field is ${describeField(type)}` };
    made[name] = own;
    bytes += own?.byteLength ?? 0;
  }
  return { rows: [made], bytes };
}

/** As JSON has it, so that nothing of the function's own objects comes to the template. */
function rowOfMessages(answer: object, { columns, invalidUtf8 }: MadeColumn): Made {
  const json = JSON.stringify({ ...Object.fromEntries(columns.map((name) => [name, null])), ...answer });
  if (invalidUtf8 === 'error' && LONE_SURROGATE_IN_JSON.test(json)) return { problem: 'a row with half a surrogate pair' };
  return { rows: [JSON.parse(json) as Readonly<Record<string, JsonValue>>], bytes: Buffer.byteLength(json) };
}

/** `JSON.stringify` escapes no other: behind an even number of backslashes, which stand for themselves. */
const LONE_SURROGATE_IN_JSON = /(?<!\\)(?:\\\\)*\\ud[89a-f]/;

function isPromise(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

/** With an article. */
function kindOf(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'an object';
  return typeof value === 'string' ? `the text ${JSON.stringify(value.slice(0, TEXT_SHOWN))}` : `a ${typeof value}`;
}

/** Characters of a text that an error shows. */
const TEXT_SHOWN = 40;
