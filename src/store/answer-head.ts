/**
 * What stands before the body of an answer of HTTP/1.1: pure. Sources: RFC 9112 (HTTP/1.1) §4 (status line), §5 (fields), §6.3 (how long a body is), and
 * RFC 9110 §5.3 (fields that come twice).
 */

/** Where a body ends. `length`: after so many bytes; `close`: with its connection. */
export type Framing = { readonly kind: 'length'; readonly bytes: number } | { readonly kind: 'chunked' } | { readonly kind: 'close' };

export interface AnswerHead {
  readonly status: number;
  /** By name in lower case. Of `SINGLE_FIELDS` that come twice the first counts, others are joined by commas. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly framing: Framing;
  /** Whether the connection may be used again once the body is over. */
  readonly isKept: boolean;
  /** How long the server says that it keeps the connection while nothing uses it. */
  readonly keepAliveMs: number | undefined;
}

/** As Node has it: of these, a list makes no sense. */
const SINGLE_FIELDS: ReadonlySet<string> = new Set([
  'age',
  'content-length',
  'content-range',
  'content-type',
  'date',
  'etag',
  'last-modified',
]);

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/;
const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** These may not be in a field. */
const NO_FIELD_VALUE = /[\x00-\x08\x0a-\x1f\x7f]/;
/** What is no part of a field: of control characters only the tab, so that a lone line feed is seen. */
const OUTER_SPACE = /^[ \t]+|[ \t]+$/g;
const NO_BODY: Framing = { kind: 'length', bytes: 0 };

/** `text`: up to the empty line, in Latin-1. Errors: with a `code` that starts with HPE, as those of Node's parser do. */
export function parseHead(text: string): AnswerHead {
  const lines = text.split('\r\n');
  const statusLine = STATUS_LINE.exec(lines[0]);
  if (statusLine === null) throw noHttp('the status line', lines[0]);
  const [, minor, digits] = statusLine;
  const headers: Record<string, string | undefined> = Object.create(null) as Record<string, string | undefined>;
  for (let i = 1; i < lines.length; i++) {
    const colon = lines[i].indexOf(':');
    const name = lines[i].slice(0, Math.max(0, colon)).toLowerCase();
    const value = lines[i].slice(colon + 1).replace(OUTER_SPACE, '');
    // a line that starts with a space would go on with the one before: nobody writes so any more, and some read it otherwise
    if (!FIELD_NAME.test(name) || NO_FIELD_VALUE.test(value)) throw noHttp('a field', lines[i]);
    const before = headers[name];
    if (before === undefined) headers[name] = value;
    else if (!SINGLE_FIELDS.has(name)) headers[name] = `${before}, ${value}`;
    else if (name === 'content-length' && before !== value) throw noHttp('a second length', value);
  }
  const status = Number(digits);
  const framing = framingOf(status, headers);
  const connection = (headers.connection ?? '').toLowerCase();
  const isPersistent = minor === '1' ? !/\bclose\b/.test(connection) : /\bkeep-alive\b/.test(connection);
  const seconds = /\btimeout=(\d{1,6})\b/.exec(headers['keep-alive'] ?? '')?.[1];
  return {
    status,
    headers,
    framing,
    isKept: isPersistent && framing.kind !== 'close',
    keepAliveMs: seconds === undefined ? undefined : Number(seconds) * 1000,
  };
}

function framingOf(status: number, { 'transfer-encoding': coding, 'content-length': length }: AnswerHead['headers']): Framing {
  if (status < 200 || status === 204 || status === 304) return NO_BODY;
  if (coding !== undefined) {
    // two lengths are how one answer is smuggled into another
    if (length !== undefined) throw noHttp('a length beside a coding', coding);
    // no other was offered, and what it would be is not what was asked for
    if (coding.toLowerCase() !== 'chunked') throw noHttp('a coding', coding);
    return { kind: 'chunked' };
  }
  if (length === undefined) return { kind: 'close' };
  if (!/^\d{1,15}$/.test(length)) throw noHttp('the length', length);
  return { kind: 'length', bytes: Number(length) };
}

/** Of what came it shows as much as tells a proxy's page from a broken line. */
export function noHttp(what: string, found: string): Error {
  return Object.assign(new Error(`the answer is no HTTP/1.1: ${what} is ${JSON.stringify(found.slice(0, 80))}`), { code: 'HPE_INVALID' });
}
