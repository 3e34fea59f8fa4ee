/** The members of a slice's samples, found in a worker: where each one lies, without a copy. */
import { HeadraceError } from '../../core/errors.js';
import type { EncodedTarSlice } from './encoded-slice.js';
import { memberName } from './member-name.js';
import { readTarEntry, tarBytes, tarInvalid } from './tar-entry.js';

/** Of one name, in each of a slice's rows. */
export interface TarMembers {
  /** A view; `undefined` where the sample has no such member, or it was not read. */
  at(row: number): Uint8Array | undefined;
  /** Of its body; `undefined` where the sample has none. */
  sizeAt(row: number): number | undefined;
}

export interface TarSamples {
  readonly count: number;
  /** By row. */
  readonly keys: readonly string[];
  /** Why a row is no sample to deliver, in the middle of a sentence about it. */
  readonly problems: ReadonlyMap<number, string>;
  /** One of the names that were asked for. */
  members(name: string): TarMembers;
}

/** Of one name, by row: in which run, from where to where in it. A run of −1: there is none; a size without a place was jumped over. */
interface Places {
  readonly runs: Int32Array;
  readonly starts: Int32Array;
  readonly sizes: Float64Array;
}

const NONE = -1;
const NOT_READ = -2;

/** `names`: of the members whose places are wanted, in lower case. Errors: `SHARD_INVALID`. */
export function decodeTarMembers(slice: EncodedTarSlice, names: readonly string[]): TarSamples {
  const { rows, skipRows, beginsWithin, uri, isContent } = slice;
  const places = names.map((): Places => ({
    runs: new Int32Array(rows).fill(NONE),
    starts: new Int32Array(rows),
    sizes: new Float64Array(rows),
  }));
  const keys: string[] = [];
  const problems = new Map<number, string>();
  const own = new Set<string>();
  let key: string | undefined;
  let row = -1 - skipRows; // of the sample that is being read, counted in the slice
  let stretch = 0;
  let pending = beginsWithin; // the first member is of the sample before

  for (const [index, run] of slice.runs.entries()) {
    const part = tarBytes(run.bytes);
    const { bytes } = part;
    const place = { uri, startByte: run.startByte, isContent };
    for (let at = 0; at < bytes.length;) {
      const here = run.startByte + at;
      if (here === slice.stretches.at(stretch)?.startByte) {
        // what starts here is the sample that the index says, or one whose first member comes later
        if (row + 1 + skipRows !== slice.stretches[stretch].startRow) throw wrongIndex(slice, here);
        stretch++;
      }
      const entry = readTarEntry(part, at, place);
      if (entry === 'more') throw tarInvalid(place, at, 'has a header that is not where the index says');
      if (entry === 'end') break;
      at = entry.endByte;
      const name = entry.isFile ? memberName(entry.name) : undefined;
      if (name === undefined) continue;
      if (pending) {
        key = name.key;
        pending = false;
      } else if (name.key !== key) {
        key = name.key;
        row++;
        own.clear();
        if (row >= 0 && row < rows) keys.push(key);
      }
      if (row < 0 || row >= rows) continue;
      if (own.has(name.member)) problems.set(row, `has two members ${name.member} (sample ${key})`);
      own.add(name.member);
      const wanted = names.indexOf(name.member);
      if (wanted < 0) continue;
      const { runs, starts, sizes } = places[wanted];
      runs[row] = entry.bodyByte + entry.size > bytes.length ? NOT_READ : index;
      starts[row] = entry.bodyByte;
      sizes[row] = entry.size;
    }
  }
  // stretches are read whole, so that a sample which the index has not is found
  const last = slice.stretches[slice.stretches.length - 1];
  if (stretch !== slice.stretches.length || row + 1 + skipRows !== last.startRow + last.rows) throw wrongIndex(slice, last.startByte);
  return {
    count: rows,
    keys,
    problems,
    members: (name) => {
      const { runs, starts, sizes } = places[names.indexOf(name)];
      return {
        at: (index) => (runs[index] < 0 ? undefined : slice.runs[runs[index]].bytes.subarray(starts[index], starts[index] + sizes[index])),
        sizeAt: (index) => (runs[index] === NONE ? undefined : sizes[index]),
      };
    },
  };
}

function wrongIndex({ uri }: EncodedTarSlice, byte: number): HeadraceError {
  return new HeadraceError('SHARD_INVALID', `the samples of ${uri} from byte ${byte} on are not those that its index has`, {
    detail: { uri, byte },
    hint: 'The archive is damaged, or an index beside it (`.tar.idx`) is of another one: make it again, or take it away.',
  });
}
