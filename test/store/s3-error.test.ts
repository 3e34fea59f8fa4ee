import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { nameError } from '../../src/store/s3-error.js';
import { s3Store } from '../../src/store/s3.js';
import { TransientStoreError } from '../../src/store/store-error.js';
import { SELF_SIGNED } from '../support/self-signed.js';

const withCode = (code: string, message = code): Error => Object.assign(new Error(message), { code });

describe('the name of an error without an answer', () => {
  it.each(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN', 'EMFILE', 'HPE_INVALID_CONSTANT'])(
    '%s may pass, also inside of another error',
    (code) => {
      for (const error of [
        withCode(code),
        new Error('wrapped', { cause: withCode(code) }),
        new AggregateError([withCode('EINVAL'), withCode(code)]),
      ]) {
        expect(nameError(error, 's3://b/k')).toBeInstanceOf(TransientStoreError);
      }
    },
  );

  it.each([
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'SELF_SIGNED_CERT_IN_CHAIN',
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
    'CERT_HAS_EXPIRED',
    'CERT_NOT_YET_VALID',
    'ERR_TLS_CERT_ALTNAME_INVALID',
    'ERR_SSL_TLSV1_UNRECOGNIZED_NAME',
    'EPROTO',
  ])('%s does not pass, and the hint speaks of certificates', (code) => {
    const error = nameError(withCode(code, `${code}\nand where OpenSSL saw it`), 's3://b/k');
    expect(error).not.toBeInstanceOf(TransientStoreError);
    expect(error).toMatchObject({
      code: 'STORE_UNREACHABLE',
      message: `no secure connection to the store of s3://b/k: ${code} (${code})`,
      detail: { tlsCode: code },
      hint: expect.stringContaining('certificate'),
    });
  });

  it('a defect does not pass', () => {
    const error = nameError(new TypeError('x is not a function'), 's3://b/k');
    expect(error).not.toBeInstanceOf(TransientStoreError);
    expect(error).toMatchObject({ code: 'STORE_UNREACHABLE', message: expect.stringContaining('x is not a function') });
  });
});

/** FAULTS 14, 15. */
describe('a server that S3 cannot be spoken with', () => {
  const servers: Server[] = [];
  afterEach(() => servers.splice(0).map((server) => server.close()));

  async function portOf(server: Server): Promise<number> {
    servers.push(server.listen(0, '127.0.0.1'));
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }
  async function errorOf(endpoint: string): Promise<unknown> {
    const store = s3Store({ bucket: 'b', endpoint, forcePathStyle: true, credentials: { accessKeyId: 'a', secretAccessKey: 's' } });
    const error: unknown = await store.head('key').catch((reason: unknown) => reason);
    await store.close();
    return error;
  }
  const insecure = { code: 'STORE_UNREACHABLE', message: expect.stringContaining('no secure connection') };

  it('has a certificate that nobody vouches for', async () => {
    const error = await errorOf(`https://127.0.0.1:${await portOf(createHttpsServer(SELF_SIGNED))}`);
    expect(error).not.toBeInstanceOf(TransientStoreError);
    expect(error).toMatchObject(insecure);
  });

  it('speaks HTTP where HTTPS was meant', async () => {
    const error = await errorOf(`https://127.0.0.1:${await portOf(createHttpServer())}`);
    expect(error).not.toBeInstanceOf(TransientStoreError);
    expect(error).toMatchObject({ ...insecure, message: expect.not.stringContaining('\n') });
  });

  it('has an address that is none', async () => {
    expect(await errorOf('ftp://127.0.0.1:1')).not.toBeInstanceOf(TransientStoreError);
  });

  it.each([
    ['breaks off the handshake', 'https', (): string => ''],
    ['hangs up', 'http', (): string => ''],
    ['speaks something else', 'http', (): string => 'garbage\r\n\r\n'],
  ])('%s, which may pass', async (_name, scheme, answer) => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined).once('data', () => socket.end(answer()));
    });
    expect(await errorOf(`${scheme}://127.0.0.1:${await portOf(server)}`)).toBeInstanceOf(TransientStoreError);
  });

  it('is not there, which may pass', async () => {
    const server = createServer();
    const port = await portOf(server);
    server.close();
    await once(server, 'close');
    expect(await errorOf(`http://127.0.0.1:${port}`)).toBeInstanceOf(TransientStoreError);
  });
});
