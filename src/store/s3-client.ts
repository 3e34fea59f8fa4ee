/** The client of the AWS SDK, and what it knows of a bucket: its address, in all the ways that can be configured, and how its requests are signed. */
import type { Agent as HttpAgent } from 'node:http';
import type { Agent as HttpsAgent } from 'node:https';
import type * as S3 from '@aws-sdk/client-s3';
import type { GetObjectCommandOutput, S3Client, S3ClientConfig } from '@aws-sdk/client-s3';
import { STORE_LIMITS } from './limits.js';

export interface S3ClientOptions {
  /** The address of an S3-compatible server; AWS without. */
  readonly endpoint?: string | undefined;
  /** Default: the environment's, else us-east-1. */
  readonly region?: string | undefined;
  readonly forcePathStyle?: boolean;
  /** Sends requests without a signature, for public buckets: no credentials are looked for. */
  readonly anonymous?: boolean;
  /** Default: the standard chain. */
  readonly credentials?: S3ClientConfig['credentials'];
}

export interface OpenedSdk {
  readonly sdk: typeof S3;
  readonly client: S3Client;
}

/** Loads the SDK. The client shares the connections of `agents`. */
export async function openSdk(
  options: S3ClientOptions,
  agents: { readonly httpAgent: HttpAgent; readonly httpsAgent: HttpsAgent },
): Promise<OpenedSdk> {
  const [sdk, { NodeHttpHandler }] = await Promise.all([import('@aws-sdk/client-s3'), import('@smithy/node-http-handler')]);
  const client = new sdk.S3Client({
    region: regionOf(options),
    ...(options.endpoint !== undefined && { endpoint: options.endpoint }),
    ...(options.credentials !== undefined && { credentials: options.credentials }),
    ...(options.anonymous === true && UNSIGNED),
    forcePathStyle: options.forcePathStyle ?? false,
    // retries are with-retry's, which sees the body phase too
    maxAttempts: 1,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: new NodeHttpHandler({ connectionTimeout: STORE_LIMITS.connectTimeoutMs, ...agents }),
  });
  return { sdk, client };
}

export function regionOf({ region }: S3ClientOptions): string {
  return region ?? process.env.AWS_REGION ?? process.env.AWS_DEFAULT_REGION ?? 'us-east-1';
}

/** Credentials that the chain is not asked for, and a signer that signs nothing. */
const UNSIGNED: Pick<S3ClientConfig, 'credentials' | 'signer'> = {
  credentials: { accessKeyId: '', secretAccessKey: '' },
  signer: { sign: (request) => Promise.resolve(request) },
};

/** Where requests for the objects of a bucket go, and whom they are signed for. */
export interface BucketPlace {
  /** Its path is what those of objects begin with. */
  readonly url: URL;
  readonly region: string;
  readonly service: string;
}

/** What the SDK has found out about a request that it is about to make. */
interface Resolved {
  readonly endpointV2?: {
    readonly url: URL;
    readonly properties?: {
      readonly authSchemes?: readonly { readonly name: string; readonly signingRegion: string; readonly signingName: string }[];
    };
    readonly headers?: Readonly<Record<string, readonly string[]>>;
  };
}

/**
 * Lets the SDK make a request, and ends it before it is sent. Undefined where requests are signed in a way that is the SDK's alone: in sessions
 * of directory buckets, and for several regions at once. Errors: those of the SDK, which looks for credentials too.
 */
export async function placeOfBucket({ sdk, client }: OpenedSdk, bucket: string): Promise<BucketPlace | undefined> {
  const command = new sdk.GetObjectCommand({ Bucket: bucket, Key: 'any' });
  let place: BucketPlace | undefined;
  command.middlewareStack.addRelativeTo(
    (_next: unknown, context: Resolved) => () => {
      const { url, properties, headers = {} } = context.endpointV2 ?? {};
      const scheme = properties?.authSchemes?.at(0);
      if (url !== undefined && scheme?.name === 'sigv4' && Object.keys(headers).length === 0) {
        place = { url, region: scheme.signingRegion, service: scheme.signingName };
      }
      const output: GetObjectCommandOutput = { $metadata: {} };
      return Promise.resolve({ response: {}, output });
    },
    { relation: 'after', toMiddleware: 'endpointV2Middleware', name: 'placeOfBucket' },
  );
  await client.send(command);
  return place;
}
