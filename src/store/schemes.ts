/** What a URI of each remote scheme names: which store, and the path in it. A new store is one entry more. */
import { azureStore } from './azure.js';
import { accountOf } from './azure-credentials.js';
import { gcsStore, type GcsOptions } from './gcs.js';
import { hubEndpoint } from './hf-environment.js';
import { hfStore } from './hf.js';
import { httpStore, splitUrl } from './http.js';
import { s3Store, type S3Options } from './s3.js';
import type { Store } from './store.js';

export interface StorageConfig {
  readonly s3: Omit<S3Options, 'bucket'>;
  readonly gcs?: Pick<GcsOptions, 'endpoint' | 'anonymous'>;
}

/** A store that may not be open yet, and a path in it. */
export interface Place {
  /** Equal for URIs that share a store; never shown, for it may hold a signature. */
  readonly key: string;
  readonly create: () => Store;
  readonly path: string;
  /** Tells apart what has the same URI on two servers, or in two accounts. */
  readonly service: string;
  /** Each URI names one object: the store has no listing. */
  readonly single: boolean;
}

interface UriParts {
  readonly uri: string;
  readonly authority: string;
  readonly path: string;
}

type Scheme = (parts: UriParts, storage: StorageConfig) => Place | undefined;

const SCHEMES: ReadonlyMap<string, Scheme> = new Map<string, Scheme>([
  [
    's3',
    ({ authority: bucket, path }, { s3 }) => listed(`s3://${bucket}/`, s3.endpoint, path, bucket !== '', () => s3Store({ ...s3, bucket })),
  ],
  ['http', ({ uri }) => webPlace(uri)],
  ['https', ({ uri }) => webPlace(uri)],
  ['hf', hubPlace],
  [
    'az',
    ({ authority: container, path }) =>
      listed(`az://${container}/`, accountOf(process.env), path, container !== '', () => azureStore({ container })),
  ],
  ['abfss', lakePlace],
  [
    'gs',
    ({ authority: bucket, path }, { gcs }) =>
      listed(`gs://${bucket}/`, gcs?.endpoint ?? process.env.STORAGE_EMULATOR_HOST, path, bucket !== '', () =>
        gcsStore({ ...gcs, bucket }),
      ),
  ],
]);

/** What the schemes look like, for people. */
export const SCHEME_FORMS =
  's3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX, https://HOST/OBJECT, hf://datasets/OWNER/NAME/PATH';

/** A URI for people: without a password, or a query that may be a signature. */
export function shownUri(uri: string): string {
  return uri.replace(/\/\/[^/]*@/, '//…@').replace(/^(https?:[^?]*)\?.*/s, '$1?…');
}

/** Undefined: no such scheme, or not its form. */
export function placeOf(uri: string, storage: StorageConfig): Place | undefined {
  const [, scheme, authority, path = ''] = /^([a-z][a-z0-9+.-]*):\/\/([^/]*)(?:\/(.*))?$/s.exec(uri) ?? [];
  return SCHEMES.get(scheme)?.({ uri, authority, path }, storage);
}

function listed(key: string, service: string | undefined, path: string, valid: boolean, create: () => Store): Place | undefined {
  return valid ? { key, service: service ?? '', path, create, single: false } : undefined;
}

function webPlace(uri: string): Place | undefined {
  const split = splitUrl(uri);
  return (
    split && { key: JSON.stringify(split.options), service: '', path: split.path, create: () => httpStore(split.options), single: true }
  );
}

/** `datasets/OWNER/NAME[@REVISION]/PATH`; a slash in a revision is written %2F, but in those of the hub's own, refs/convert/… and refs/pr/…. */
const HUB_PATH = /^([\w.-]+\/[\w.-]+)(?:@(refs\/(?:convert|pr)\/[^/]+|[^/]+))?(?:\/(.*))?$/s;

function hubPlace({ authority, path: rest }: UriParts): Place | undefined {
  const match = authority === 'datasets' ? HUB_PATH.exec(rest) : null;
  if (match === null) return undefined;
  const [, dataset, encoded = '', path = ''] = match;
  const revision = encoded === '' ? undefined : encoded.replaceAll(/%2f/gi, '/');
  return listed(`hf://datasets/${dataset}@${revision ?? ''}/`, hubEndpoint(), path, true, () => hfStore({ dataset, revision }));
}

/** `CONTAINER@ACCOUNT.dfs.core.windows.net`, which the same account serves as blobs under another name. */
const LAKE_AUTHORITY = /^([^@]+)@([a-z0-9]+)\.dfs\.(core\.[a-z0-9.-]+)$/;

function lakePlace({ authority, path }: UriParts): Place | undefined {
  const match = LAKE_AUTHORITY.exec(authority);
  if (match === null) return undefined;
  const [, container, account, domain] = match;
  return listed(`abfss://${authority}/`, '', path, true, () => azureStore({ container, host: `${account}.blob.${domain}` }));
}
