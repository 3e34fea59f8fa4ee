/** The errors of stores, and which of them a second try may cure. */
import { HeadraceError, type ErrorCode, type ErrorDetail, type ErrorOptions } from '../core/errors.js';

/** What had arrived of a read when it broke off. */
export interface PartialRead {
  /** As long as the range; its first `received` bytes are the range's. */
  readonly bytes: Uint8Array;
  readonly received: number;
  /** The version of the object that they are of. */
  readonly etag: string;
}

/** An error whose cause may pass: only these are tried again. */
export class TransientStoreError extends HeadraceError {
  readonly partial: PartialRead | undefined;

  constructor(code: ErrorCode, message: string, options: ErrorOptions & { readonly partial?: PartialRead } = {}) {
    super(code, message, options);
    this.partial = options.partial;
  }
}

const HINTS: Partial<Record<ErrorCode, string>> = {
  STORE_NOT_FOUND: 'Check the URI: bucket, prefix and spelling.',
  STORE_DENIED: 'Check the credentials of this process, and what they may do: list the prefix and read its objects.',
  STORE_UNREACHABLE: 'Check the endpoint, the network and the name server.',
  STORE_READ_FAILED: 'If it goes on, look at the log of the object store.',
  SHARD_CHANGED: 'Shards must not change while a run reads them: write new data to new objects, and start the run again.',
};

export function storeError(code: ErrorCode, message: string, detail: ErrorDetail, cause?: unknown): HeadraceError {
  return new HeadraceError(code, message, { detail, hint: HINTS[code] ?? '', cause });
}

export function transientError(code: ErrorCode, message: string, detail: ErrorDetail, cause?: unknown): TransientStoreError {
  return new TransientStoreError(code, message, { detail, hint: HINTS[code] ?? '', cause });
}

/** The same error, with what had arrived when it came. */
export function brokenOff(error: TransientStoreError, partial: PartialRead): TransientStoreError {
  const { code, message, detail, hint, cause } = error;
  return new TransientStoreError(code, message, { detail, hint, cause, partial });
}

/** Whether a store says that it is asked too much. */
export function isThrottled(error: unknown): boolean {
  return error instanceof TransientStoreError && (error.detail.status === 503 || error.detail.status === 429);
}

export function shardChanged(uri: string, wanted: string, found: string | undefined): HeadraceError {
  return storeError('SHARD_CHANGED', `${uri} is no longer the version that the run started with`, {
    uri,
    etag: wanted,
    found: found ?? null,
  });
}

/** What ends the requests of a store that is closed; another try would only open its sockets again. */
export function storeClosed(uri: string): HeadraceError {
  return new HeadraceError('ABORTED', `the store ${uri} was closed`, { detail: { uri } });
}

/** An object in a storage class that cannot be read before it is restored. */
export function archivedError(uri: string, storageClass: string, detail: ErrorDetail, cause: unknown): HeadraceError {
  return new HeadraceError('STORE_READ_FAILED', `${uri} is archived (storage class ${storageClass})`, {
    detail: { ...detail, storageClass },
    hint: 'Restore it, which takes minutes to days, or copy it to a class that can be read at once, and start the run again.',
    cause,
  });
}

/** A range that the object does not have. */
export function outsideObject(uri: string, startByte: number, endByte: number, size: number): HeadraceError {
  return storeError('STORE_READ_FAILED', `bytes ${startByte} to ${endByte} of ${uri} lie outside its ${size} bytes`, {
    uri,
    startByte,
    endByte,
    size,
  });
}
