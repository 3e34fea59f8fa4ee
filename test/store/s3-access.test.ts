import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createHttpClient } from '../../src/store/http-client.js';
import { knownAccess } from '../../src/store/s3-access.js';
import { openSdk, placeOfBucket } from '../../src/store/s3-client.js';
import { parseListing } from '../../src/store/s3-list.js';
import type { S3Options } from '../../src/store/s3.js';

const KEYS = { accessKeyId: 'a', secretAccessKey: 's' };
const OWN: S3Options = { bucket: 'bucket', endpoint: 'http://s3.test:9000', forcePathStyle: true, credentials: KEYS, region: 'eu-west-1' };

describe('what is known of a bucket without the SDK', () => {
  it.each<[string, Partial<S3Options>]>([
    ['a server', {}],
    ['a path of a server', { endpoint: 'https://s3.test/below/' }],
    ['a name with dots and dashes', { bucket: 'a.b-c1' }],
    ['a bucket for everybody', { anonymous: true, credentials: undefined }],
  ])('is what the SDK would find out: %s', async (_name, changes) => {
    const options = { ...OWN, ...changes };
    const http = createHttpClient();
    const opened = await openSdk(options, http.agents);
    const found = await placeOfBucket(opened, options.bucket).finally(() => http.close());
    const { place } = knownAccess(options, {}) ?? {};
    expect(place && { ...place, url: place.url.href }).toEqual({ ...found, url: found?.url.href });
  });

  it.each<[string, Partial<S3Options>, NodeJS.ProcessEnv?]>([
    ['AWS, whose addresses are the SDK’s to know', { endpoint: undefined }],
    ['a host for each bucket', { forcePathStyle: false }],
    ['a provider of credentials', { credentials: () => Promise.resolve(KEYS) }],
    ['credentials that expire', { credentials: { ...KEYS, expiration: new Date(2030, 1) } }],
    ['no credentials', { credentials: undefined }],
    ['half of them', { credentials: undefined }, { AWS_ACCESS_KEY_ID: 'a' }],
    ['a profile beside them', { credentials: undefined }, { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 's', AWS_PROFILE: 'p' }],
    [
      'an end of them',
      { credentials: undefined },
      { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 's', AWS_CREDENTIAL_EXPIRATION: '2030-01-01T00:00:00Z' },
    ],
    ['a directory bucket', { bucket: 'bucket--usw2-az1--x-s3' }],
    ['an access point', { bucket: 'arn:aws:s3::123456789012:accesspoint/name.mrap' }],
    ['an address that is none', { endpoint: 's3.test' }],
  ])('is not all: %s', (_name, changes, env = {}) => {
    expect(knownAccess({ ...OWN, ...changes }, env)).toBeUndefined();
  });

  it('are the credentials of the environment, with their session', async () => {
    const env = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 's', AWS_SESSION_TOKEN: 't' };
    const access = knownAccess({ ...OWN, credentials: undefined }, env);
    expect(await access?.signing.credentials()).toEqual({ accessKeyId: 'a', secretAccessKey: 's', sessionToken: 't' });
  });
});

describe('a listing', () => {
  const page = (inner: string, before = '<?xml version="1.0" encoding="UTF-8"?>\n'): string =>
    `${before}<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name>${inner}</ListBucketResult>\n`;
  const object = '<Contents><Key>k</Key><Size>3</Size><ETag>&quot;v1&quot;</ETag><Owner><ID>x</ID></Owner></Contents>';
  const end = '<IsTruncated>false</IsTruncated>';

  it('is read as it was written, whatever the keys are', () => {
    const escape = (text: string): string =>
      text.replace(
        /[&<>"'\r\n]/g,
        (character) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[character] ?? `&#${character.charCodeAt(0)};`,
      );
    const keys = fc.array(fc.string({ minLength: 1, unit: 'grapheme' }));
    const property = fc.property(keys, fc.option(fc.string({ minLength: 1 }), { nil: undefined }), fc.nat(), (names, token, size) => {
      const objects = names.map((name) => `<Contents><Key>${escape(name)}</Key><ETag>&quot;e&quot;</ETag><Size>${size}</Size></Contents>`);
      const more =
        token === undefined ? end : `<IsTruncated>true</IsTruncated><NextContinuationToken>${escape(token)}</NextContinuationToken>`;
      expect(parseListing(page(`${more}${objects.join('')}`))).toEqual({
        Contents: names.map((Key) => ({ Key, Size: size, ETag: '"e"' })),
        IsTruncated: token !== undefined,
        NextContinuationToken: token,
      });
    });
    fc.assert(property);
  });

  it.each<[string, string]>([
    ['another document', '<html><body>Please log in.</body></html>'],
    ['an error', '<Error><Code>SlowDown</Code></Error>'],
    ['its first half', page(`${end}${object}`).slice(0, -30)],
    ['an element that is cut off', page(`${end}${object}<Contents><Key>l</Key>`)],
    ['objects with attributes', page(`${end}${object}<Contents a="b"><Key>l</Key></Contents>`)],
    ['objects in objects', page(`${end}<Contents>${object}</Contents>`)],
    ['an object that is empty', page(`${end}${object}<Contents/>`)],
    ['text that is no text', page(`${end}<Contents><Key><![CDATA[k]]></Key></Contents>`)],
    ['what is commented out', page(`${end}<!-- ${object} -->`)],
    ['no word of whether more comes', page(object)],
    ['nothing', ''],
  ])('that is %s is none that we read', (_name, document) => {
    expect(parseListing(document)).toBeUndefined();
  });
});
