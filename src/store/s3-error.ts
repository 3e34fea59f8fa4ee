/** What the SDK throws, by the names of headrace, and which of it may pass. */
import type { HeadraceError } from '../core/errors.js';
import { messageOf } from '../core/errors.js';
import { storeError, transientError } from './store-error.js';

const DENIED_NAMES = new Set([
  'AccessDenied',
  'InvalidAccessKeyId',
  'SignatureDoesNotMatch',
  'CredentialsProviderError',
  'ExpiredToken',
  'Forbidden',
]);
const MISSING_NAMES = new Set(['NoSuchKey', 'NoSuchBucket', 'NotFound']);

export function nameError(error: unknown, uri: string): HeadraceError {
  const name = error instanceof Error ? error.name : '';
  const status = statusOf(error);
  const detail = { uri, ...(status !== undefined && { status }) };
  if (MISSING_NAMES.has(name) || status === 404) {
    return storeError(
      'STORE_NOT_FOUND',
      name === 'NoSuchBucket' ? `the bucket of ${uri} does not exist` : `${uri} does not exist`,
      detail,
      error,
    );
  }
  if (DENIED_NAMES.has(name) || status === 401 || status === 403)
    return storeError('STORE_DENIED', `access to ${uri} is denied (${name})`, detail, error);
  if (status === 412) return storeError('SHARD_CHANGED', `${uri} is no longer the version that the run started with`, detail, error);
  if (status === 416) return storeError('STORE_READ_FAILED', `${uri} does not have the bytes that were asked for`, detail, error);
  if (status === undefined)
    return transientError('STORE_UNREACHABLE', `no answer from the store of ${uri}: ${messageOf(error)}`, detail, error);
  // a body that is an error's XML comes with any status, 200 included
  if (status === 429 || status >= 500 || status < 300) {
    return transientError('STORE_READ_FAILED', `the store of ${uri} answered with ${status}: ${messageOf(error)}`, detail, error);
  }
  return storeError('STORE_READ_FAILED', `the store refused to read ${uri}: ${status} ${messageOf(error)}`, detail, error);
}

function statusOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('$metadata' in error)) return undefined;
  const { httpStatusCode } = error.$metadata as { readonly httpStatusCode?: number };
  return httpStatusCode;
}
