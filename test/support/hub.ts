/** A dataset on a Hugging Face hub, as scripted origins: the hub with its API, and the CDN that its large files redirect to. */
import { createHash } from 'node:crypto';
import { sendObject, startOrigin, type Answer, type Origin } from './origin.js';

export interface Hub {
  readonly endpoint: string;
  readonly hub: Origin;
  readonly cdn: Origin;
  /** Files of more than `largeBytes` (100) come from the CDN. The commit stays the same, as if somebody had forced it. */
  put(path: string, bytes: Uint8Array): void;
  close(): void;
}

export const COMMIT = '0123456789abcdef0123456789abcdef01234567';
const LARGE_BYTES = 100;
const PAGE = 100;

/** `token`: who does not send it is refused. The dataset is me/data, its revisions are main and refs/convert/parquet. */
export async function startHub(token?: string): Promise<Hub> {
  const files = new Map<string, Uint8Array>();
  const hashOf = (bytes: Uint8Array, algorithm: string): string => createHash(algorithm).update(bytes).digest('hex');
  const json = (response: Parameters<Answer>[1], value: unknown, headers = {}): unknown =>
    response.writeHead(200, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
  let signatures = 0;

  const cdn = await startOrigin((request, response) => {
    if (request.headers.authorization !== undefined) return response.writeHead(400).end('signed twice');
    const path = decodeURIComponent(new URL(request.url!, 'http://cdn').pathname.slice(1));
    return sendObject(files.get(path), { etag: '"of-the-cdn"' })(request, response);
  });
  const hub = await startOrigin((request, response) => {
    if (token !== undefined && request.headers.authorization !== `Bearer ${token}`)
      return response.writeHead(401, { 'x-error-code': 'GatedRepo', 'x-error-message': 'Access to dataset me/data is restricted.' }).end();
    const { pathname, searchParams } = new URL(request.url!, 'http://hub');
    if (/^\/api\/datasets\/me\/data\/revision\/(main|refs%2Fconvert%2Fparquet)$/.test(pathname)) return json(response, { sha: COMMIT });
    const [, verb, encoded = ''] = new RegExp(`^/(?:api/)?datasets/me/data/(tree|resolve)/${COMMIT}/(.*)$`).exec(pathname) ?? [];
    const path = encoded.split('/').map(decodeURIComponent).join('/');
    if (verb === 'tree') {
      const below = [...files.keys()].filter((file) => path === '' || file.startsWith(`${path}/`)).sort();
      if (below.length === 0) return response.writeHead(404, { 'x-error-code': 'EntryNotFound' }).end();
      const from = Number(searchParams.get('cursor') ?? 0);
      const next = `<https://mirrored.example/api/datasets/me/data/tree/${COMMIT}/${encoded}?recursive=true&cursor=${from + PAGE}>; rel="next"`;
      const entries = below.slice(from, from + PAGE).map((file) => {
        const bytes = files.get(file)!;
        const lfs = { oid: hashOf(bytes, 'sha256'), size: bytes.length, pointerSize: 130 };
        return { type: 'file', path: file, size: bytes.length, oid: hashOf(bytes, 'sha1'), ...(bytes.length > LARGE_BYTES && { lfs }) };
      });
      return json(
        response,
        [{ type: 'directory', path: 'x', size: 0, oid: 'y' }, ...entries],
        from + PAGE < below.length ? { link: next } : {},
      );
    }
    const bytes = verb === 'resolve' ? files.get(path) : undefined;
    if (bytes === undefined) return response.writeHead(404, { 'x-error-code': 'EntryNotFound' }).end();
    if (bytes.length <= LARGE_BYTES) return sendObject(bytes, { etag: `"${hashOf(bytes, 'sha1')}"` })(request, response);
    return response
      .writeHead(302, {
        location: `${cdn.url}/${encodeURIComponent(path)}?signature=${++signatures}`,
        'x-repo-commit': COMMIT,
        'x-linked-etag': `"${hashOf(bytes, 'sha256')}"`,
        'x-linked-size': bytes.length,
        'content-length': 0,
      })
      .end();
  });
  return {
    endpoint: hub.url,
    hub,
    cdn,
    put: (path, bytes) => void files.set(path, bytes),
    close: () => {
      hub.close();
      cdn.close();
    },
  };
}
