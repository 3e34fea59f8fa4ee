/** Who asks Google Cloud Storage: Application Default Credentials, through Google's own library. */
import { HeadraceError } from '../core/errors.js';

/** The value of the Authorization header; undefined to ask without. `renew`: the last one was refused. */
export type Authorize = (renew: boolean) => Promise<string | undefined>;

const SCOPE = 'https://www.googleapis.com/auth/devstorage.read_only';

/** The library is loaded by the first request; it renews its token before that runs out. Errors: `STORE_DENIED`. */
export function defaultCredentials(): Authorize {
  let client: Promise<{ getRequestHeaders(): Promise<Headers> }> | undefined;
  return async (renew) => {
    if (renew) client = undefined; // a new client has no token yet
    const opened = (client ??= import('google-auth-library').then(({ GoogleAuth }) => new GoogleAuth({ scopes: [SCOPE] }).getClient()));
    try {
      return (await (await opened).getRequestHeaders()).get('authorization') ?? undefined;
    } catch (error) {
      if (client === opened) client = undefined; // the next request looks again
      throw new HeadraceError('STORE_DENIED', 'no credentials for Google Cloud Storage', {
        hint: 'Set GOOGLE_APPLICATION_CREDENTIALS, run `gcloud auth application-default login`, or set storage.gcs.anonymous for public buckets.',
        cause: error,
      });
    }
  };
}
