/** Who asks Azure, and where: the variables that its own command line reads. */
import type * as Azure from '@azure/storage-blob';
import { HeadraceError } from '../core/errors.js';

export type AzureEnvironment = Readonly<Record<string, string | undefined>>;

/**
 * `host`: the account's, if the URI names one; a connection string is then not looked at. With an account and neither key nor SAS, requests
 * carry no credentials. Errors: `STORE_DENIED` if no account is named, or if what is named is of no form.
 */
export function connectContainer(
  sdk: typeof Azure,
  container: string,
  host: string | undefined,
  env: AzureEnvironment,
): Azure.ContainerClient {
  const { AZURE_STORAGE_CONNECTION_STRING: connection, AZURE_STORAGE_KEY: key, AZURE_STORAGE_SAS_TOKEN: sas } = env;
  const options: Azure.StoragePipelineOptions = { retryOptions: { maxTries: 1 }, keepAliveOptions: { enable: true } };
  const account = host?.split('.', 1)[0] ?? env.AZURE_STORAGE_ACCOUNT;
  try {
    if (host === undefined && connection !== undefined)
      return sdk.BlobServiceClient.fromConnectionString(connection, options).getContainerClient(container);
    if (account !== undefined) {
      const url = `https://${host ?? `${account}.blob.core.windows.net`}/${container}`;
      if (key !== undefined) return new sdk.ContainerClient(url, new sdk.StorageSharedKeyCredential(account, key), options);
      const query = sas === undefined ? '' : `?${sas.replace(/^\?/, '')}`;
      return new sdk.ContainerClient(url + query, new sdk.AnonymousCredential(), options);
    }
  } catch {
    // the SDK's own message may quote the key
    throw denied('the connection string or the key of the Azure account has not the form of one');
  }
  throw denied('no Azure storage account is named');
}

/** The account that `az://` is about, and its server where one is named; undefined where none is. */
export function accountOf({
  AZURE_STORAGE_CONNECTION_STRING: connection,
  AZURE_STORAGE_ACCOUNT: account,
}: AzureEnvironment): string | undefined {
  return connection === undefined ? account : connection.match(/(?:AccountName|BlobEndpoint)=[^;]*/g)?.join(';');
}

function denied(message: string): HeadraceError {
  return new HeadraceError('STORE_DENIED', message, {
    hint: 'Set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN (with neither, only public containers can be read).',
  });
}
