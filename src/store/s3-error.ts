/** What the SDK throws, by the names of headrace, and which of it may pass. */
import { HeadraceError, messageOf, type ErrorDetail } from '../core/errors.js';
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
  const status = metadataOf(error)?.httpStatusCode;
  const detail = { uri, ...(status !== undefined && { status }) };
  if (MISSING_NAMES.has(name) || status === 404) {
    return storeError(
      'STORE_NOT_FOUND',
      name === 'NoSuchBucket' ? `the bucket of ${uri} does not exist` : `${uri} does not exist`,
      detail,
      error,
    );
  }
  // the SDK has taken over the clock of the answer: the next try is signed with it
  if (status === 403 && metadataOf(error)?.clockSkewCorrected === true)
    return transientError('STORE_DENIED', `the clock of this machine is not that of the store of ${uri} (${name})`, detail, error);
  if (DENIED_NAMES.has(name) || status === 401 || status === 403)
    return storeError('STORE_DENIED', `access to ${uri} is denied (${name})`, detail, error);
  if (status === 412) return storeError('SHARD_CHANGED', `${uri} is no longer the version that the run started with`, detail, error);
  if (status === 416) return storeError('STORE_READ_FAILED', `${uri} does not have the bytes that were asked for`, detail, error);
  if (status === undefined) return nameSilence(error, uri, detail);
  // a body that is an error's XML comes with any status, 200 included
  if (status === 429 || status >= 500 || status < 300) {
    return transientError('STORE_READ_FAILED', `the store of ${uri} answered with ${status}: ${reasonOf(error)}`, detail, error);
  }
  return storeError('STORE_READ_FAILED', `the store refused to read ${uri}: ${status} ${reasonOf(error)}`, detail, error);
}

/** What may pass, of all that can keep a request from an answer; a name server that restarts says ENOTFOUND too. */
const PASSING_CODES: ReadonlySet<string> = new Set([
  ...[
    'ECONNREFUSED',
    'ECONNRESET',
    'ECONNABORTED',
    'EPIPE',
    'ETIMEDOUT',
    'EHOSTUNREACH',
    'EHOSTDOWN',
    'ENETUNREACH',
    'ENETDOWN',
    'ENETRESET',
  ],
  ...['ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL', 'EAI_NODATA'],
  // of this machine: ports, descriptors and buffers come free again
  ...['EADDRNOTAVAIL', 'EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM'],
  ...['ERR_STREAM_PREMATURE_CLOSE', 'ERR_SOCKET_CLOSED', 'ERR_SOCKET_CONNECTION_TIMEOUT', 'ERR_TLS_HANDSHAKE_TIMEOUT'],
  // a byte that was flipped on its way, and that TCP's checksum let pass
  ...['ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC', 'ERR_SSL_SSLV3_ALERT_BAD_RECORD_MAC'],
]);
const TLS_CODE =
  /^(EPROTO$|ERR_TLS_|ERR_SSL_|CERT_|CRL_|UNABLE_TO_|ERROR_IN_C|INVALID_CA$|INVALID_PURPOSE$|HOSTNAME_MISMATCH$)|SELF_SIGNED/;

/** No answer at all. A certificate that does not fit, an address that is none, or a defect will be the same at the next try. */
function nameSilence(error: unknown, uri: string, detail: ErrorDetail): HeadraceError {
  const codes = codesOf(error);
  // HPE: what came was no HTTP, as from a proxy that is going down
  const passes = codes.some((code) => PASSING_CODES.has(code) || code.startsWith('HPE_'));
  if (passes || (error instanceof Error && error.name === 'TimeoutError'))
    return transientError('STORE_UNREACHABLE', `no answer from the store of ${uri}: ${reasonOf(error)}`, detail, error);
  const tlsCode = codes.find((code) => TLS_CODE.test(code));
  if (tlsCode === undefined)
    return storeError('STORE_UNREACHABLE', `the store of ${uri} cannot be asked: ${reasonOf(error)}`, detail, error);
  return new HeadraceError('STORE_UNREACHABLE', `no secure connection to the store of ${uri}: ${reasonOf(error)} (${tlsCode})`, {
    detail: { ...detail, tlsCode },
    hint: 'Check the certificate, the name and the scheme of the endpoint, and the clock; NODE_EXTRA_CA_CERTS adds an authority of your own.',
    cause: error,
  });
}

/** The codes of an error and of what it wraps. */
function codesOf(error: unknown): string[] {
  if (!(error instanceof Error)) return [];
  const own = 'code' in error && typeof error.code === 'string' ? [error.code] : [];
  const wrapped: unknown[] = error instanceof AggregateError ? error.errors : [];
  return [...own, ...[error.cause, ...wrapped].flatMap(codesOf)];
}

/** Its first line: OpenSSL and the SDK go on with where to look for more. */
function reasonOf(error: unknown): string {
  return messageOf(error).split('\n', 1)[0].trim();
}

interface Metadata {
  readonly httpStatusCode?: number;
  readonly clockSkewCorrected?: boolean;
}

function metadataOf(error: unknown): Metadata | undefined {
  return typeof error === 'object' && error !== null && '$metadata' in error ? (error.$metadata as Metadata) : undefined;
}
