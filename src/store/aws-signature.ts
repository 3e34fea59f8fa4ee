/**
 * Signature Version 4 of AWS, in the header of a request: pure, but for keeping the day's key. Source: AWS General Reference, "Create a signed AWS
 * API request" (canonical request, string to sign, derived key), with the rules of S3: a path is encoded once, and not normalised.
 *
 *   canonical request ──SHA-256──▶ string to sign ──HMAC by the key of (secret, day, region, service)──▶ Authorization
 */
import { createHmac, createSecretKey, hash, type KeyObject } from 'node:crypto';

export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

export interface UnsignedRequest {
  readonly method: string;
  /** As it is sent: percent-encoded. */
  readonly path: string;
  /** Percent-encoded and in order, each name with its `=`; empty without one. */
  readonly query: string;
  /** All of them are signed. Names in lower case, `host` among them. */
  readonly headers: Readonly<Record<string, string>>;
  /** SHA-256 of the body, in hexadecimal digits. */
  readonly bodyHash: string;
}

/** Answers the headers of the request with those that sign it. */
export type Sign = (request: UnsignedRequest, credentials: AwsCredentials, now: Date) => Record<string, string>;

/** SHA-256 of a body that is none. */
export const NO_BODY_HASH = hash('sha256', '');

const ALGORITHM = 'AWS4-HMAC-SHA256';

export function createSigner(region: string, service: string): Sign {
  let kept: { readonly secret: string; readonly day: string; readonly key: KeyObject } | undefined;
  /** A key is good for one day, and all requests of that day. */
  const keyOf = (secret: string, day: string): KeyObject => {
    if (kept?.secret !== secret || kept.day !== day) {
      const key = [day, region, service, 'aws4_request'].reduce<Buffer>((above, part) => hmac(above, part), Buffer.from(`AWS4${secret}`));
      kept = { secret, day, key: createSecretKey(key) };
    }
    return kept.key;
  };

  return ({ method, path, query, headers, bodyHash }, { accessKeyId, secretAccessKey, sessionToken }, now) => {
    const time = now.toISOString().replace(/[-:]|\.\d{3}/g, '');
    const day = time.slice(0, 8);
    const signed: Record<string, string> = {
      ...headers,
      'x-amz-content-sha256': bodyHash,
      'x-amz-date': time,
      ...(sessionToken !== undefined && { 'x-amz-security-token': sessionToken }),
    };
    const names = Object.keys(signed).sort();
    const lines = names.map((name) => `${name}:${signed[name].trim().replace(/ +/g, ' ')}\n`).join('');
    const signedHeaders = names.join(';');
    const canonical = `${method}\n${path}\n${query}\n${lines}\n${signedHeaders}\n${bodyHash}`;
    const scope = `${day}/${region}/${service}/aws4_request`;
    const toSign = `${ALGORITHM}\n${time}\n${scope}\n${hash('sha256', canonical)}`;
    const signature = hmac(keyOf(secretAccessKey, day), toSign).toString('hex');
    signed.authorization = `${ALGORITHM} Credential=${accessKeyId}/${scope}, SignedHeaders=${signedHeaders}, Signature=${signature}`;
    return signed;
  };
}

/** A path of S3: everything but unreserved characters (RFC 3986 §2.3) is encoded, and slashes stay. */
export function encodePath(path: string): string {
  return encodeURIComponent(path)
    .replace(/%2F/g, '/')
    .replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
}

function hmac(key: Buffer | KeyObject, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
