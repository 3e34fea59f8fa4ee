/** The one error class of headrace, and the list of its codes. `docs/errors.md` explains each; a test keeps the two equal. */

export const ERROR_CODES = [
  // configuration and command line
  'CONFIG_INVALID',
  'CONFIG_NOT_FOUND',
  'CONFIG_MISMATCH',
  // storage
  'STORE_NOT_FOUND',
  'STORE_DENIED',
  'STORE_UNREACHABLE',
  'STORE_READ_FAILED',
  'SHARD_CHANGED',
  // data
  'NO_SHARDS',
  'NO_ROWS',
  'FORMAT_UNKNOWN',
  'INDEX_INVALID',
  'SHARD_INVALID',
  'SHARD_UNSUPPORTED',
  'COLUMN_MISSING',
  'COLUMN_TYPE',
  'BAD_ROW',
  'TRANSFORM_INVALID',
  'TRANSFORM_FAILED',
  'EXCLUSION_INVALID',
  // tokenizer
  'TOKENIZER_INVALID',
  'TOKEN_OUT_OF_RANGE',
  // plan and cursor
  'CURSOR_INVALID',
  'CURSOR_MISMATCH',
  'WORLD_SIZE',
  'MIXTURE_REFUSED',
  'RUN_DIRECTORY',
  'LEDGER_INVALID',
  'AUDIT_FAILED',
  // serving
  'ADDRESS_IN_USE',
  'ADDRESS_INVALID',
  'BAD_MESSAGE',
  'SESSION_UNKNOWN',
  'FENCED',
  'STALE_CLIENT',
  'DRAINING',
  'SIDECAR_UNREACHABLE',
  'SIDECAR_NOT_FOUND',
  'SIDECAR_FAILED',
  'TIMEOUT',
  'DIGEST_MISMATCH',
  // process
  'WORKER_FAILED',
  'OUTPUT_FAILED',
  'ABORTED',
  'INTERNAL',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** Facts about an error that a program may use: names and numbers, never objects. */
export type ErrorDetail = Readonly<Record<string, string | number | boolean | null>>;

export interface ErrorOptions {
  /** Which object, offset, field, row … */
  readonly detail?: ErrorDetail;
  /** What the reader can do about it, as one sentence. */
  readonly hint?: string;
  readonly cause?: unknown;
}

export class HeadraceError extends Error {
  override readonly name = 'HeadraceError';
  readonly code: ErrorCode;
  readonly detail: ErrorDetail;
  readonly hint: string;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.detail = options.detail ?? {};
    this.hint = options.hint ?? '';
  }
}

/** The plain form of an error that crosses a thread or the wire. */
export interface ErrorRecord {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  readonly detail: ErrorDetail;
}

export function toErrorRecord(error: unknown): ErrorRecord {
  if (error instanceof HeadraceError) {
    return { code: error.code, message: error.message, hint: error.hint, detail: error.detail };
  }
  return { code: 'INTERNAL', message: messageOf(error), hint: 'This is a defect of headrace: please report it with the log.', detail: {} };
}

export function fromErrorRecord(record: ErrorRecord): HeadraceError {
  const known = ERROR_CODES.find((code) => code === record.code);
  return new HeadraceError(known ?? 'INTERNAL', record.message, { detail: record.detail, hint: record.hint });
}

/** A library, or a file of the package: the installation is to blame, and no data, none of which may be left out for it. */
export function cannotLoad(part: string, cause: unknown): HeadraceError {
  return new HeadraceError('INTERNAL', `cannot load ${part}, a part of headrace: ${messageOf(cause)}`, {
    hint: 'Install headrace again; in a checkout, `npm run build`. If it stays, please report it.',
    cause,
  });
}

/** One line for people: the message, and the messages of its causes that it does not say itself. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const own = error.message === '' ? error.name : error.message;
  if (error.cause === undefined) return own;
  const cause = messageOf(error.cause);
  return own.includes(cause) ? own : `${own}: ${cause}`;
}
