/** What S3 says where it does not give what was asked for: a status, and a document of XML, which its imitations and proxies may leave out. */
import type { HttpAnswer } from './http-client.js';
import { STORE_LIMITS } from './limits.js';
import { textOf } from './s3-xml.js';

/** In the form of the SDK's errors, so that both are named by the same rules: `name` is the code of S3. */
export class S3Refusal extends Error {
  readonly $metadata: { readonly httpStatusCode: number; readonly clockSkewCorrected: boolean };
  /** Of an object that is archived. */
  readonly StorageClass?: string;
  /** Where the bucket is, if it is not where it was looked for. */
  readonly region?: string;

  constructor({ status, headers }: Pick<HttpAnswer, 'status' | 'headers'>, document: string, clockSkewCorrected: boolean) {
    super(textOf(document, 'Message') ?? 'no reason was given');
    this.name = textOf(document, 'Code') ?? 'Unknown';
    this.$metadata = { httpStatusCode: status, clockSkewCorrected };
    const storageClass = textOf(document, 'StorageClass');
    if (storageClass !== undefined) this.StorageClass = storageClass;
    const region = textOf(document, 'Region') ?? headers['x-amz-bucket-region'];
    if (typeof region === 'string') this.region = region;
  }
}

/** Reads the body of an answer as far as `discardedBytesMax`; a refusal whose body breaks off is one all the same. */
export async function readRefusal(
  answer: Pick<HttpAnswer, 'status' | 'headers'> & { readonly body: AsyncIterable<Buffer> },
  clockSkewCorrected: boolean,
): Promise<S3Refusal> {
  const chunks: Buffer[] = [];
  let received = 0;
  try {
    for await (const chunk of answer.body) {
      chunks.push(chunk);
      received += chunk.length;
      if (received > STORE_LIMITS.discardedBytesMax) break;
    }
  } catch {
    // its status says enough
  }
  return new S3Refusal(answer, Buffer.concat(chunks).toString(), clockSkewCorrected);
}
