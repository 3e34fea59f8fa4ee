/** What the SDK throws, by the names of headrace, and which of it may pass. */
import { HeadraceError } from '../core/errors.js';
import { nameSilence, reasonOf } from './network-error.js';
import { S3Refusal } from './s3-refusal.js';
import { archivedError, storeError, transientError } from './store-error.js';

const DENIED_NAMES = new Set(['AccessDenied', 'InvalidAccessKeyId', 'SignatureDoesNotMatch', 'CredentialsProviderError', 'Forbidden']);
const MISSING_NAMES = new Set(['NoSuchKey', 'NoSuchBucket', 'NotFound']);

/** What S3 and its like answer where credentials were good once. */
const EXPIRED_NAMES = new Set(['ExpiredToken', 'ExpiredTokenException', 'RequestExpired', 'TokenRefreshRequired']);

/** Whether the same request may pass now: the SDK has taken over the clock of the answer, and signs the next one with it. */
export function isClockCorrected(error: unknown): boolean {
  const metadata = metadataOf(error);
  return metadata?.httpStatusCode === 403 && metadata.clockSkewCorrected === true;
}

/** Whether new credentials may help. An answer to HEAD has no body that would say so: S3 then sends a bare 400. */
export function isExpired(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return EXPIRED_NAMES.has(error.name) || (error.name === 'Unknown' && metadataOf(error)?.httpStatusCode === 400);
}

export function nameError(error: unknown, uri: string): HeadraceError {
  const name = error instanceof Error ? error.name : '';
  const status = metadataOf(error)?.httpStatusCode;
  const detail = { uri, ...(status !== undefined && { status }) };
  if (MISSING_NAMES.has(name) || status === 404) {
    return storeError(
      'STORE_NOT_FOUND',
      name === 'NoSuchBucket' ? `the bucket of ${uri} does not exist` : `${uri} does not exist`,
      { ...detail, ...(name === 'NoSuchBucket' && { missing: 'bucket' }) },
      error,
    );
  }
  if (name === 'InvalidObjectState') return archivedError(uri, storageClassOf(error), detail, error);
  if (EXPIRED_NAMES.has(name))
    return storeError('STORE_DENIED', `the credentials for ${uri} have expired, and new ones are not to be had (${name})`, detail, error);
  if (DENIED_NAMES.has(name) || status === 401 || status === 403)
    return storeError('STORE_DENIED', `access to ${uri} is denied (${name})`, detail, error);
  if (status === 412) return storeError('SHARD_CHANGED', `${uri} is no longer the version that the run started with`, detail, error);
  if (status === 416) return storeError('STORE_READ_FAILED', `${uri} does not have the bytes that were asked for`, detail, error);
  if (status === undefined) return nameSilence(error, uri, detail);
  // a body that is an error's XML comes with any status, 200 included
  if (status === 429 || status >= 500 || status < 300) {
    return transientError('STORE_READ_FAILED', `the store of ${uri} answered with ${status}: ${reasonOf(error)}`, detail, error);
  }
  const refused = `the store refused to read ${uri}: ${status} ${reasonOf(error)}`;
  const region = error instanceof S3Refusal ? error.region : undefined;
  if (region === undefined) return storeError('STORE_READ_FAILED', refused, detail, error);
  return new HeadraceError('STORE_READ_FAILED', refused, {
    detail: { ...detail, region },
    hint: `The bucket is in ${region}: set storage.s3.region.`,
    cause: error,
  });
}

/** S3 names the class; its imitations may not. */
function storageClassOf(error: unknown): string {
  return error instanceof Error && 'StorageClass' in error ? String(error.StorageClass) : 'unknown';
}

interface Metadata {
  readonly httpStatusCode?: number;
  readonly clockSkewCorrected?: boolean;
}

function metadataOf(error: unknown): Metadata | undefined {
  return typeof error === 'object' && error !== null && '$metadata' in error ? (error.$metadata as Metadata) : undefined;
}
