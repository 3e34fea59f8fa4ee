/** What is said of data sets of litData that cannot be read. */
import { HeadraceError } from '../../core/errors.js';
import { shownUri } from '../../store/schemes.js';

/** `byte`: where in the object, or in its content where it is compressed. */
export function litdataInvalid(uri: string, problem: string, byte: number, row?: number): HeadraceError {
  return new HeadraceError('SHARD_INVALID', `${shownUri(uri)} cannot be read, byte ${byte}: ${problem}`, {
    detail: { uri: shownUri(uri), byte, ...(row !== undefined && { row }) },
    hint: 'Write the data set again, or take the chunk out of the source; `badBlocks: skip` leaves damaged rows out.',
  });
}

export function litdataUnsupported(uri: string, problem: string, hint: string): HeadraceError {
  return new HeadraceError('SHARD_UNSUPPORTED', `${shownUri(uri)} is not read: ${problem}`, { detail: { uri: shownUri(uri) }, hint });
}
