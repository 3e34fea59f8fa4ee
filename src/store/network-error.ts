/** What keeps a request from an answer, by the names of headrace, and which of it may pass: the same for every store of the network. */
import { HeadraceError, messageOf, type ErrorDetail } from '../core/errors.js';
import { storeError, transientError } from './store-error.js';

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
export function nameSilence(error: unknown, uri: string, detail: ErrorDetail): HeadraceError {
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
export function reasonOf(error: unknown): string {
  return messageOf(error).split('\n', 1)[0].trim();
}
