/**
 * What a configuration and the environment say of a bucket where they say all: a server's address, paths below it, and credentials. Then nothing has to be
 * asked of the SDK, whose import takes a start 100 ms. Its rules are the SDK's: what they leave open is left to it.
 */
import type { AwsCredentials } from './aws-signature.js';
import { regionOf, type BucketPlace, type S3ClientOptions } from './s3-client.js';

/** What requests are signed with. The configuration of the SDK's client is one. */
export interface Signing {
  credentials(options?: { readonly forceRefresh?: boolean }): Promise<AwsCredentials>;
  /** What the server's clock is ahead, as its refusals said. */
  systemClockOffset: number;
  disableClockSkewCorrection(): Promise<boolean>;
}

export interface KnownAccess {
  readonly place: BucketPlace;
  readonly signing: Signing;
}

/** Names that stand for nothing else: access points, and buckets whose requests are signed in sessions, have others. */
const PLAIN_BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;

/** Undefined where the SDK has to find out. */
export function knownAccess(options: S3ClientOptions & { readonly bucket: string }, env: NodeJS.ProcessEnv): KnownAccess | undefined {
  const { bucket, endpoint, forcePathStyle } = options;
  if (endpoint === undefined || forcePathStyle !== true) return undefined;
  if (!PLAIN_BUCKET.test(bucket) || bucket.endsWith('--x-s3')) return undefined;
  const credentials = knownCredentials(options, env);
  if (credentials === undefined || !URL.canParse(endpoint)) return undefined;
  const url = new URL(endpoint);
  if (url.search !== '' || url.hash !== '' || url.username !== '') return undefined;
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/${bucket}`;
  const signing: Signing = {
    credentials: () => Promise.resolve(credentials),
    systemClockOffset: 0,
    disableClockSkewCorrection: () => Promise.resolve(false),
  };
  return { place: { url, region: regionOf(options), service: 's3' }, signing };
}

/** Those that last: a chain of providers, and what expires, are the SDK's to ask again. */
function knownCredentials({ anonymous, credentials }: S3ClientOptions, env: NodeJS.ProcessEnv): AwsCredentials | undefined {
  if (anonymous === true) return { accessKeyId: '', secretAccessKey: '' }; // nothing is signed
  if (typeof credentials === 'function') return undefined;
  if (credentials !== undefined) return credentials.expiration === undefined ? credentials : undefined;
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, AWS_SESSION_TOKEN: sessionToken } = env;
  // a profile comes before these, in the SDK's chain
  if (env.AWS_PROFILE !== undefined || env.AWS_CREDENTIAL_EXPIRATION !== undefined) return undefined;
  if (accessKeyId === undefined || secretAccessKey === undefined || accessKeyId === '' || secretAccessKey === '') return undefined;
  return { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && sessionToken !== '' && { sessionToken }) };
}
