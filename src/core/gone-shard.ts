/** The error of a shard that was known and is not there any more, which is no matter of a URI that was written wrongly. */
import { HeadraceError } from './errors.js';

/** What to do, where a run reads. */
export const GONE_IN_RUN =
  'Bring it back as it was, and go on from the last state; or go on without its rows (`badBlocks: skip`); or start a new run, whose manifest is made without it.';
/** What to do, where a run opens a shard: which rows it had, nobody knows. */
export const GONE_UNOPENED =
  'Bring it back as it was, and go on from the last state; or start a new run, whose manifest is made without it.';
/** What to do, where a run starts. */
export const GONE_AT_START = 'Something deletes shards while this starts. Start again: they are listed anew.';

/** `error` itself, where it says anything else than that an object is not there. `known`: since when it was known, behind "it was there when". */
export function asGoneShard(error: unknown, known: string, hint: string): unknown {
  if (!isGone(error)) return error;
  return new HeadraceError('STORE_NOT_FOUND', `${error.message}; it was there when ${known}`, { detail: error.detail, hint, cause: error });
}

/** A bucket that is gone is no damage to a data set, but another place. */
export function isGone(error: unknown): error is HeadraceError {
  return error instanceof HeadraceError && error.code === 'STORE_NOT_FOUND' && error.detail.missing !== 'bucket';
}
