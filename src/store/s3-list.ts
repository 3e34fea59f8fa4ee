/** One page of an S3 listing: checked whole, so that nothing is missing from it in silence. */
import type { ListObjectsV2CommandOutput } from '@aws-sdk/client-s3';
import { textOf } from './s3-xml.js';
import { transientError } from './store-error.js';
import type { ObjectInfo } from './store.js';

export interface ListPage {
  readonly objects: readonly ObjectInfo[];
  /** What the next page is asked for with; undefined after the last. */
  readonly nextToken: string | undefined;
}

/** What is read of a page. */
export type PageContent = Pick<Partial<ListObjectsV2CommandOutput>, 'Contents' | 'IsTruncated' | 'NextContinuationToken'>;

/**
 * `document`: what S3 answers to ListObjectsV2. Undefined where it is no plain listing, with nothing but elements and their text: a parser of XML has to
 * read it, or to refuse it.
 */
export function parseListing(document: string): PageContent | undefined {
  if (!/^\s*(?:<\?xml[^>]*\?>\s*)?<ListBucketResult[\s>]/.test(document) || !/<\/ListBucketResult>\s*$/.test(document)) return undefined;
  if (document.includes('<!') || document.includes('\r')) return undefined;
  const tags = document.match(/<\/?Contents[\s/>]/g) ?? [];
  if (tags.length % 2 !== 0 || tags.some((tag, i) => tag !== (i % 2 === 0 ? '<Contents>' : '</Contents>'))) return undefined;
  const parts = document.split(/<\/?Contents>/); // by turns what is between two objects, and an object
  const objects = parts.filter((_, i) => i % 2 === 1);
  const rest = parts.filter((_, i) => i % 2 === 0).join('');
  const truncated = textOf(rest, 'IsTruncated');
  if (truncated !== 'true' && truncated !== 'false') return undefined;
  return {
    Contents: objects.map((object) => ({ Key: textOf(object, 'Key'), Size: sizeOf(textOf(object, 'Size')), ETag: textOf(object, 'ETag') })),
    IsTruncated: truncated === 'true',
    NextContinuationToken: textOf(rest, 'NextContinuationToken'),
  };
}

function sizeOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

/**
 * `token`: what this page was asked for with. Errors, all of them transient, since a proxy in trouble makes them: `STORE_READ_FAILED`.
 * The SDK reads any XML as a listing, a proxy's login page too: a listing is known by its IsTruncated, which S3 always sends.
 */
export function readListPage(page: PageContent, uri: string, token: string | undefined): ListPage {
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
