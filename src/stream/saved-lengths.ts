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

const factsSchema = z.object({ plan: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])) });

const NUMBER_COLUMNS = ['windowsEnd', 'isWhole', 'group', 'window'] as const;

/** Beside the plan. */
export interface LengthsShape {
  readonly sources: number;
  readonly lanes: number;
  readonly length: number;
}

interface SavedLengths {
  readonly plan: PlanRecord;
  readonly columns: LengthsColumns;
}

/** Errors: those of `Store.head` and `Store.read`; `INDEX_INVALID` where the file is damaged, of another version, or of another plan, which is named. */
export async function readLengths(
  store: Store,
  file: string,
  plan: PlanRecord,
  { sources, lanes, length }: LengthsShape,
  signal?: AbortSignal,
): Promise<Lengths> {
  const uri = store.uri + file;
  const bytes = await readIndexFile(store, file, (problem) => lengthsInvalid(uri, problem), signal);
  let saved: SavedLengths;
  try {
    saved = decodeLengths(bytes);
  } catch (error) {
    throw lengthsInvalid(uri, error instanceof z.ZodError ? 'its header is not that of lengths' : messageOf(error), error);
  }
  const field = differingEntry(saved.plan, plan);
  if (field !== undefined) {
    const problem = `${field} is ${describeEntry(saved.plan[field])} there and ${describeEntry(plan[field])} in this run`;
    throw lengthsInvalid(uri, `they were made for another one: ${problem}`);
  }
  const { columns } = saved;
  if (columns.windowsEnd.length !== sources * lanes) throw lengthsInvalid(uri, 'it has other lanes than its plan');
  return { uri, lanes, length, columns };
}

export async function saveLengths(file: string, plan: PlanRecord, columns: LengthsColumns): Promise<void> {
  const flat = new Map<string, NumberColumn>(NUMBER_COLUMNS.map((name) => [name, columns[name]]));
  flat.set('sequences.bytes', columns.sequences.bytes);
  flat.set('sequences.ends', columns.sequences.ends);
  await writeIndexFile(file, encodeColumnFile(VERSION, { plan }, flat));
}

/** Errors: `Error`, which says what is wrong. */
function decodeLengths(bytes: Uint8Array<ArrayBuffer>): SavedLengths {
  const file = decodeColumnFile(bytes, VERSION);
  const { plan } = factsSchema.parse(file.facts);
  const column = (name: string): NumberColumn => {
    const found = file.columns.get(name);
    if (found === undefined) throw new Error(`it has no column ${name}`);
    return found;
  };
  const [windowsEnd, isWhole, group, window] = NUMBER_COLUMNS.map(column);
  const inWindows = column('sequences.bytes');
  const ends = column('sequences.ends');
  if (!(inWindows instanceof Uint8Array)) throw new Error('its column of sequences does not hold bytes');
  const areAligned = windowsEnd.length === isWhole.length && group.length === window.length && group.length === ends.length;
  if (!areAligned) throw new Error('its columns have different lengths');
  return { plan, columns: { windowsEnd, isWhole, group, window, sequences: { bytes: inWindows, ends } } };
}
