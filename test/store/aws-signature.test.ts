import { describe, expect, it } from 'vitest';
import { createSigner, encodePath, NO_BODY_HASH, type UnsignedRequest } from '../../src/store/aws-signature.js';

/** The examples of the Amazon S3 API Reference, "Authenticating Requests: Using the Authorization Header". */
const CREDENTIALS = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' };
const NOW = new Date('2013-05-24T00:00:00Z');
const HOST = 'examplebucket.s3.amazonaws.com';
const get = (path: string, query: string, headers: Record<string, string> = {}): UnsignedRequest => ({
  method: 'GET',
  path,
  query,
  headers: { host: HOST, ...headers },
  bodyHash: NO_BODY_HASH,
});

const EXAMPLES: [string, UnsignedRequest, string, string][] = [
  [
    'GET Object',
    get('/test.txt', '', { range: 'bytes=0-9' }),
    'host;range;x-amz-content-sha256;x-amz-date',
    'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
  ],
  [
    'PUT Object',
    {
      method: 'PUT',
      path: encodePath('/test$file.text'),
      query: '',
      headers: { host: HOST, date: 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class': 'REDUCED_REDUNDANCY' },
      bodyHash: '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072',
    },
    'date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class',
    '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
  ],
  [
    'GET Bucket Lifecycle',
    get('/', 'lifecycle='),
    'host;x-amz-content-sha256;x-amz-date',
    'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
  ],
  [
    'Get Bucket (List Objects)',
    get('/', 'max-keys=2&prefix=J'),
    'host;x-amz-content-sha256;x-amz-date',
    '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
  ],
];

describe('the signature of AWS', () => {
  it.each(EXAMPLES)('is the one that S3 documents: %s', (_name, request, signedHeaders, signature) => {
    const sign = createSigner('us-east-1', 's3');
    const expected = `AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=${signedHeaders}, Signature=${signature}`;
    for (let time = 0; time < 2; time++) {
      expect(sign(request, CREDENTIALS, NOW)).toEqual({
        ...request.headers,
        'x-amz-content-sha256': request.bodyHash,
        'x-amz-date': '20130524T000000Z',
        authorization: expected,
      });
    }
  });

  it('follows the day and the credentials, with whatever key it has kept', () => {
    const kept = createSigner('us-east-1', 's3');
    const request = get('/k', '');
    const days = [NOW, new Date('2013-05-24T23:59:59.999Z'), new Date('2013-05-25T00:00:00Z'), NOW];
    const secrets = [CREDENTIALS, { ...CREDENTIALS, secretAccessKey: 'another' }, { ...CREDENTIALS, sessionToken: 't' }];
    const signatures = days.flatMap((day) => secrets.map((credentials) => kept(request, credentials, day).authorization));
    const fresh = days.flatMap((day) =>
      secrets.map((credentials) => createSigner('us-east-1', 's3')(request, credentials, day).authorization),
    );
    expect(signatures).toEqual(fresh);
    expect(new Set(signatures).size).toBe(9); // the fourth day is the first
  });

  it('signs the token of a session', () => {
    const headers = createSigner('us-east-1', 's3')(get('/k', ''), { ...CREDENTIALS, sessionToken: 't' }, NOW);
    expect(headers['x-amz-security-token']).toBe('t');
    expect(headers.authorization).toContain('SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,');
  });

  it('encodes a path once, and leaves its slashes and dots', () => {
    expect(encodePath("a b//../c+d%20/ü~-_.!'()*&=@:$,;?#")).toBe(
      'a%20b//../c%2Bd%2520/%C3%BC~-_.%21%27%28%29%2A%26%3D%40%3A%24%2C%3B%3F%23',
    );
  });
});
