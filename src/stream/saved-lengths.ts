/** Lengths in a file: what `headrace index --lengths` writes, and a start reads whose configuration names it. They are those of one plan, and of no other. */
import * as z from 'zod';
import { messageOf } from '../core/errors.js';
import { decodeColumnFile, encodeColumnFile } from '../manifest/column-file.js';
import type { NumberColumn } from '../manifest/columns.js';
import { readIndexFile, writeIndexFile } from '../manifest/index-file.js';
import { describeEntry, differingEntry, type PlanRecord } from '../plan/cursor.js';
import type { Store } from '../store/store.js';
import { lengthsInvalid, type Lengths, type LengthsColumns } from './lengths.js';

/** Raise it when columns change their meaning. Far from those of other files of columns, which are told by it. */
const VERSION = 1001;

const planSchema = z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()]));
const factsSchema = z.object({ plan: planSchema, validation: planSchema.optional() });

const NUMBER_COLUMNS = ['windowsEnd', 'isWhole', 'group', 'window'] as const;

/** Beside the plan. */
export interface LengthsShape {
  readonly sources: number;
  readonly lanes: number;
  readonly length: number;
}

/** The lengths of one split. */
export interface SplitLengths {
  readonly plan: PlanRecord;
  readonly columns: LengthsColumns;
}

interface SavedLengths extends SplitLengths {
  /** Where the run holds documents out. */
  readonly validation: SplitLengths | undefined;
}

/** By split. */
export interface RunLengths {
  readonly train: Lengths;
  /** `undefined`: the run has no validation, or the file says nothing of it. */
  readonly validation: Lengths | undefined;
}

/** Errors: those of `Store.head` and `Store.read`; `INDEX_INVALID` where the file is damaged, of another version, or of another plan, which is named. */
export async function readLengths(
  store: Store,
  file: string,
  plans: { readonly train: PlanRecord; readonly validation: PlanRecord | undefined },
  { sources, lanes, length }: LengthsShape,
  signal?: AbortSignal,
): Promise<RunLengths> {
  const uri = store.uri + file;
  const bytes = await readIndexFile(store, file, (problem) => lengthsInvalid(uri, problem), signal);
  let saved: SavedLengths;
  try {
    saved = decodeLengths(bytes);
  } catch (error) {
    throw lengthsInvalid(uri, error instanceof z.ZodError ? 'its header is not that of lengths' : messageOf(error), error);
  }
  const lengthsOf = ({ plan: measured, columns }: SplitLengths, plan: PlanRecord): Lengths => {
    const field = differingEntry(measured, plan);
    if (field !== undefined) {
      const problem = `${field} is ${describeEntry(measured[field])} there and ${describeEntry(plan[field])} in this run`;
      throw lengthsInvalid(uri, `they were made for another one: ${problem}`);
    }
    if (columns.windowsEnd.length !== sources * lanes) throw lengthsInvalid(uri, 'it has other lanes than its plan');
    return { uri, lanes, length, columns };
  };
  const train = lengthsOf(saved, plans.train);
  return { train, validation: plans.validation && saved.validation && lengthsOf(saved.validation, plans.validation) };
}

export async function saveLengths(file: string, plan: PlanRecord, columns: LengthsColumns, validation?: SplitLengths): Promise<void> {
  const flat = new Map([...flatColumns(columns, ''), ...(validation === undefined ? [] : flatColumns(validation.columns, OF_VALIDATION))]);
  await writeIndexFile(file, encodeColumnFile(VERSION, { plan, ...(validation && { validation: validation.plan }) }, flat));
}

/** Before the names of its columns. */
const OF_VALIDATION = 'validation.';

function flatColumns(columns: LengthsColumns, prefix: string): [string, NumberColumn][] {
  return [
    ...NUMBER_COLUMNS.map((name): [string, NumberColumn] => [prefix + name, columns[name]]),
    [`${prefix}sequences.bytes`, columns.sequences.bytes],
    [`${prefix}sequences.ends`, columns.sequences.ends],
  ];
}

/** Errors: `Error`, which says what is wrong. */
function decodeLengths(bytes: Uint8Array<ArrayBuffer>): SavedLengths {
  const file = decodeColumnFile(bytes, VERSION);
  const { plan, validation } = factsSchema.parse(file.facts);
  return {
    plan,
    columns: columnsOf(file.columns, ''),
    validation: validation && { plan: validation, columns: columnsOf(file.columns, OF_VALIDATION) },
  };
}

function columnsOf(columns: ReadonlyMap<string, NumberColumn>, prefix: string): LengthsColumns {
  const column = (name: string): NumberColumn => {
    const found = columns.get(prefix + name);
    if (found === undefined) throw new Error(`it has no column ${prefix}${name}`);
    return found;
  };
  const [windowsEnd, isWhole, group, window] = NUMBER_COLUMNS.map(column);
  const inWindows = column('sequences.bytes');
  const ends = column('sequences.ends');
  if (!(inWindows instanceof Uint8Array)) throw new Error('its column of sequences does not hold bytes');
  const areAligned = windowsEnd.length === isWhole.length && group.length === window.length && group.length === ends.length;
  if (!areAligned) throw new Error('its columns have different lengths');
  return { windowsEnd, isWhole, group, window, sequences: { bytes: inWindows, ends } };
}
