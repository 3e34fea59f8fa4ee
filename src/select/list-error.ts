/** What is wrong with a list of documents, and where in it. */
import { HeadraceError } from '../core/errors.js';
import { shownUri } from '../store/schemes.js';

const HINT =
  'A list names documents by id, or by shard and row: docs/concepts.md has the forms. A row that does not exist may mean that the list was made from other data.';

/** `line`: of text, counted from 1; `undefined`: the whole file. */
export function listError(uri: string, line: number | undefined, problem: string, cause?: unknown): HeadraceError {
  const shown = shownUri(uri);
  return new HeadraceError('EXCLUSION_INVALID', `${shown}${line === undefined ? '' : `, line ${line}`}: ${problem}`, {
    detail: { uri: shown, ...(line !== undefined && { line }) },
    hint: HINT,
    cause,
  });
}

/** The same for formats without lines. */
export function listRowError(uri: string, row: number, problem: string): HeadraceError {
  const shown = shownUri(uri);
  return new HeadraceError('EXCLUSION_INVALID', `${shown}, row ${row}: ${problem}`, { detail: { uri: shown, row }, hint: HINT });
}
