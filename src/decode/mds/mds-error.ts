/** What is wrong with an MDS shard, for people. */
import { HeadraceError } from '../../core/errors.js';

/** Where something was found; of the content, where the shard is compressed. */
export interface MdsPlace {
  readonly uri: string;
  readonly byte: number;
  readonly row?: number | undefined;
}

export function mdsInvalid({ uri, byte, row }: MdsPlace, problem: string): HeadraceError {
  const where = row === undefined ? `byte ${byte}` : `row ${row}, byte ${byte}`;
  return new HeadraceError('SHARD_INVALID', `${uri} is not a readable MDS shard: ${problem} (${where})`, {
    detail: { uri, byte, ...(row !== undefined && { row }) },
    hint: 'Write the shard again, or take it out of the source; `badBlocks: skip` leaves damaged rows out.',
  });
}

export function mdsUnsupported(uri: string, problem: string, hint: string): HeadraceError {
  return new HeadraceError('SHARD_UNSUPPORTED', `${uri} cannot be read: ${problem}`, { detail: { uri }, hint });
}
