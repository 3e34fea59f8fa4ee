/** One page of an S3 listing: checked whole, so that nothing is missing from it in silence. */
import type { ListObjectsV2CommandOutput } from '@aws-sdk/client-s3';
import { transientError } from './store-error.js';
import type { ObjectInfo } from './store.js';

export interface ListPage {
  readonly objects: readonly ObjectInfo[];
  /** What the next page is asked for with; undefined after the last. */
  readonly nextToken: string | undefined;
}

/**
 * `token`: what this page was asked for with. Errors, all of them transient, since a proxy in trouble makes them: `STORE_READ_FAILED`.
 * The SDK reads any XML as a listing, a proxy's login page too: a listing is known by its IsTruncated, which S3 always sends.
 */
export function readListPage(page: Partial<ListObjectsV2CommandOutput>, uri: string, token: string | undefined): ListPage {
  const { Contents: contents = [], IsTruncated: truncated, NextContinuationToken: nextToken } = page;
  if (truncated === undefined)
    throw transientError('STORE_READ_FAILED', `the store of ${uri} answered with something else than a listing`, { uri });
  const objects = contents.map(({ Key: path, Size: size, ETag: etag }): ObjectInfo => {
    if (path === undefined || etag === undefined || size === undefined || !Number.isSafeInteger(size)) {
      throw transientError('STORE_READ_FAILED', `the listing of ${uri} has an object without key, size or ETag: ${path ?? 'no key'}`, {
        uri,
        path: path ?? null,
      });
    }
    return { path, size, etag };
  });
  if (!truncated) return { objects, nextToken: undefined };
  // with the token of this page, it would come again and again
  if (nextToken === undefined || nextToken === '' || nextToken === token) {
    throw transientError('STORE_READ_FAILED', `the listing of ${uri} says that it goes on, but not how`, { uri, token: nextToken ?? null });
  }
  return { objects, nextToken };
}
