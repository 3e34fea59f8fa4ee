/** What the Azure SDK throws, by the names of headrace, and which of it may pass. */
import type { HeadraceError } from '../core/errors.js';
import { answerError } from './http-error.js';
import { nameSilence } from './network-error.js';
import { archivedError, storeError, transientError } from './store-error.js';

export function nameAzureError(error: unknown, uri: string): HeadraceError {
  const { status, code } = partsOf(error);
  // what the SDK makes of a page that is no listing: of XML that is none, and of none at all
  if (code === 'PARSE_ERROR' || (error instanceof TypeError && code === undefined))
    return transientError('STORE_READ_FAILED', `the store of ${uri} answered with something else than was asked for`, { uri }, error);
  if (status === undefined) return nameSilence(error, uri, { uri });
  const detail = { uri, status, ...(code !== undefined && { reason: code }) };
  if (code === 'BlobArchived' || code === 'BlobBeingRehydrated') return archivedError(uri, 'Archive', detail, error);
  if (code === 'ContainerNotFound') return storeError('STORE_NOT_FOUND', `the container of ${uri} does not exist`, detail, error);
  return answerError({ status, headers: {} }, uri);
}

/** The status of an answer, and Azure's name for what is wrong; no status without an answer. */
function partsOf(error: unknown): { readonly status: number | undefined; readonly code: string | undefined } {
  if (!(error instanceof Error)) return { status: undefined, code: undefined };
  return {
    status: 'statusCode' in error && typeof error.statusCode === 'number' ? error.statusCode : undefined,
    code: 'code' in error && typeof error.code === 'string' ? error.code : undefined,
  };
}
