import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { afterEach, describe, expect, it } from 'vitest';
import { createChunkedBody } from '../../src/store/chunked-body.js';
import { parseHead } from '../../src/store/answer-head.js';
import type { DirectAnswer } from '../../src/store/connection.js';
import { createDirectHttp, type DirectHttp } from '../../src/store/direct-http.js';
import { s3Store } from '../../src/store/s3.js';
import { SELF_SIGNED } from '../support/self-signed.js';

describe('the head of an answer', () => {
  const head = (...lines: string[]) => parseHead(lines.join('\r\n'));

  it.each<[string, string[], object]>([
    ['a length', ['HTTP/1.1 206 Partial Content', 'Content-Length: 5'], { kind: 'length', bytes: 5 }],
    ['the same length twice', ['HTTP/1.1 200 OK', 'content-length: 5', 'Content-Length:5'], { kind: 'length', bytes: 5 }],
    ['chunks', ['HTTP/1.1 200 OK', 'Transfer-Encoding: Chunked'], { kind: 'chunked' }],
    ['nothing', ['HTTP/1.1 200'], { kind: 'close' }],
    ['a status that has no body', ['HTTP/1.1 304 Not Modified', 'Content-Length: 5'], { kind: 'length', bytes: 0 }],
  ])('says how long its body is by %s', (_name, lines, framing) => {
    expect(head(...lines).framing).toEqual(framing);
  });

  it.each<[string, string[]]>([
    ['is of another protocol', ['ICY 200 OK']],
    ['is of another version', ['HTTP/2 200']],
    ['has two lengths', ['HTTP/1.1 200 OK', 'content-length: 5', 'content-length: 6']],
    ['has a length and chunks', ['HTTP/1.1 200 OK', 'content-length: 5', 'transfer-encoding: chunked']],
    ['has a length that is no number', ['HTTP/1.1 200 OK', 'content-length: +5']],
    ['goes on in a second line', ['HTTP/1.1 200 OK', 'etag: "a"', ' b']],
    ['has a field without a name', ['HTTP/1.1 200 OK', ': b']],
    ['has a coding that was not asked for', ['HTTP/1.1 200 OK', 'Transfer-Encoding: gzip, chunked']],
    ['has a line feed at the end of a field', ['HTTP/1.1 200 OK', 'etag: a\n']],
    ['has a line feed in a field', ['HTTP/1.1 200 OK', 'etag: a\nb']],
  ])('is refused where it %s', (_name, lines) => {
    expect(() => head(...lines)).toThrow(expect.objectContaining({ code: 'HPE_INVALID' }) as Error);
  });

  it('says whether its connection is kept, and how long', () => {
    expect(head('HTTP/1.1 200 OK', 'content-length: 1', 'Keep-Alive: timeout=5, max=9')).toMatchObject({ isKept: true, keepAliveMs: 5000 });
    expect(head('HTTP/1.1 200 OK', 'content-length: 1', 'Connection: Close').isKept).toBe(false);
    expect(head('HTTP/1.0 200 OK', 'content-length: 1').isKept).toBe(false);
    expect(head('HTTP/1.0 200 OK', 'content-length: 1', 'connection: keep-alive').isKept).toBe(true);
    expect(head('HTTP/1.1 200 OK').isKept).toBe(false);
  });
});

describe('chunks', () => {
  const BODY = '4;name="v"\r\nWiki\r\n6\r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n0\r\nTrailer: x\r\n\r\n';

  it('are the same in whatever pieces they come, and what follows them is not theirs', () => {
    const bytes = Buffer.from(`${BODY}HTTP/1.1`);
    for (let size = 1; size <= bytes.length; size++) {
      const body = createChunkedBody();
      let text = '';
      let used = 0;
      for (let at = 0; at < bytes.length && !body.isOver; at += size)
        used += body.feed(bytes.subarray(at, at + size), (data) => (text += Buffer.from(data).toString()));
      expect([size, text, used, body.isOver]).toEqual([size, 'Wikipedia in \r\n\r\nchunks.', BODY.length, true]);
    }
  });

  it.each(['x\r\n', '-1\r\n', '4\r\nWikiX\r\n', '4\nWiki', `${'0'.repeat(20_000)}\r\n`, `0\r\n${'a: b\r\n'.repeat(5000)}`])(
    'that are none are refused (case %#)',
    (text) => {
      expect(() => createChunkedBody().feed(Buffer.from(text), () => undefined)).toThrow(
        expect.objectContaining({ code: 'HPE_INVALID' }) as Error,
      );
    },
  );
});

describe('a GET whose body goes where it belongs', () => {
  const closing: (() => void)[] = [];
  afterEach(() => {
    for (const close of closing.splice(0)) close();
  });
  const signal = new AbortController().signal;

  async function listen(server: Server, protocol = 'http'): Promise<URL> {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closing.push(() => void server.close());
    return new URL(`${protocol}://127.0.0.1:${(server.address() as AddressInfo).port}`);
  }
  /** Answers the nth request of a connection with the nth script, in the pieces that it is in. */
  async function scripted(...scripts: (readonly string[])[]): Promise<{ url: URL; connections: Socket[] }> {
    const connections: Socket[] = [];
    const server = createServer((socket) => {
      connections.push(socket);
      let next = 0;
      socket
        .on('error', () => undefined)
        .on('data', (request) => {
          if (!request.toString().endsWith('\r\n\r\n')) return;
          const script = scripts[next++];
          const send = (i: number): void => {
            if (i === script.length) return;
            if (script[i] === 'end') socket.end();
            else socket.write(script[i], 'latin1', () => setTimeout(send, 5, i + 1)); // pieces arrive one by one
          };
          send(0);
        });
    });
    closing.push(() => {
      for (const socket of connections) socket.destroy();
    });
    return { url: await listen(server), connections };
  }
  function client(): DirectHttp {
    const http = createDirectHttp();
    closing.push(() => http.close());
    return http;
  }
  const get = (http: DirectHttp, url: URL, into?: Uint8Array, under = signal): Promise<DirectAnswer> =>
    http.get({ url, path: '/x', headers: { host: url.host } }, () => into, under);
  async function text({ body }: DirectAnswer): Promise<string> {
    if ('done' in body) {
      await body.done;
      return Buffer.from(body.bytes).toString('latin1');
    }
    return Buffer.concat((await body.toArray()) as Buffer[]).toString('latin1');
  }

  it('fills the array, with a head and a body in whatever pieces, and uses the connection again', async () => {
    const { url, connections } = await scripted(
      ['HTTP/1.1 206 P\r\ncontent-le', 'ngth: 6\r\n\r', '\nabc', 'de', 'f'],
      ['HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 206 P\r\ncontent-length: 3\r\n\r\nxyz'],
      ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nab', 'c\r\n0\r\n\r\n'],
      ['HTTP/1.1 404 N\r\ncontent-length: 0\r\n\r\n'],
      ['HTTP/1.1 200 OK\r\n\r\nto the', ' end', 'end'],
    );
    const http = client();
    const into = new Uint8Array(6);
    const answer = await get(http, url, into);
    expect([await text(answer), 'bytes' in answer.body && answer.body.bytes]).toEqual(['abcdef', into]);
    expect(await text(await get(http, url, new Uint8Array(3)))).toBe('xyz');
    expect(await text(await get(http, url))).toBe('abc');
    const none = await get(http, url);
    expect([none.status, await text(none)]).toEqual([404, '']);
    expect(await text(await get(http, url))).toBe('to the end');
    expect(connections).toHaveLength(1);
  });

  it('gives an array of another length nothing', async () => {
    const { url } = await scripted(['HTTP/1.1 206 P\r\ncontent-length: 3\r\n\r\nabc']);
    const into = new Uint8Array(4);
    expect(await text(await get(client(), url, into))).toBe('abc');
    expect(into).toEqual(new Uint8Array(4));
  });

  it.each<[string, readonly string[]]>([
    ['more than it said', ['HTTP/1.1 206 P\r\ncontent-length: 3\r\n\r\nabcHTTP/1.1 206 P\r\ncontent-length: 3\r\n\r\nbad']],
    ['a wish to close', ['HTTP/1.1 206 P\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc']],
    ['a connection that is kept for no time', ['HTTP/1.1 206 P\r\nkeep-alive: timeout=1\r\ncontent-length: 3\r\n\r\nabc']],
  ])('does not use a connection again after %s', async (_name, script) => {
    const { url, connections } = await scripted(script, ['HTTP/1.1 206 P\r\ncontent-length: 3\r\n\r\nbad']);
    const http = client();
    expect(await text(await get(http, url, new Uint8Array(3)))).toBe('abc');
    expect(await text(await get(http, url, new Uint8Array(3)))).toBe('abc');
    expect(connections).toHaveLength(2);
  });

  it.each<[string, readonly string[], string]>([
    ['before the head', ['end'], 'ECONNRESET'],
    ['within the head', ['HTTP/1.1 206 P\r\ncont', 'end'], 'ECONNRESET'],
    ['within a body that fills an array', ['HTTP/1.1 206 P\r\ncontent-length: 3\r\n\r\nab', 'end'], 'ECONNRESET'],
    ['within a chunk', ['HTTP/1.1 200 P\r\ntransfer-encoding: chunked\r\n\r\n3\r\nab', 'end'], 'ECONNRESET'],
    ['with something else', ['SSH-2.0-x\r\n\r\n'], 'HPE_INVALID'],
    ['with a head without an end', [`HTTP/1.1 206 P\r\nx: ${'y'.repeat(20_000)}`], 'HPE_INVALID'],
  ])('that ends %s is an error', async (_name, script, code) => {
    const { url } = await scripted(script);
    const outcome = get(client(), url, new Uint8Array(3)).then(text);
    await expect(outcome).rejects.toMatchObject({ code });
  });

  it('writes nothing to its array once it is destroyed or aborted, whatever still comes', async () => {
    const { url, connections } = await scripted(['HTTP/1.1 206 P\r\ncontent-length: 6\r\n\r\nabc', 'def']);
    const into = new Uint8Array(6);
    const { body } = await get(client(), url, into);
    body.destroy(new Error('enough'));
    await expect('done' in body && body.done).rejects.toThrow('enough');
    const then = into.slice();
    for (const socket of connections) if (!socket.destroyed) await once(socket, 'close');
    expect(into).toEqual(then);

    const silent = await scripted([]);
    const ending = new AbortController();
    const outcome = get(client(), silent.url, into, ending.signal);
    setTimeout(() => ending.abort(), 20);
    await expect(outcome).rejects.toMatchObject({ code: 'ABORTED' });
  });

  it('sends no line that its headers would add', async () => {
    const { url, connections } = await scripted([]);
    const send = (path: string, value: string): Promise<unknown> =>
      client().get({ url, path, headers: { host: url.host, 'if-match': value } }, () => undefined, signal);
    await expect(send('/x', '"a"\r\nx: y')).rejects.toThrow('may not be sent');
    await expect(send('/x y', '"a"')).rejects.toThrow('may not be sent');
    await expect(send('/\u0100', '"a"')).rejects.toThrow('may not be sent');
    expect(connections).toHaveLength(0);
  });

  it('speaks TLS, and does not trust what nobody vouches for', async () => {
    const bytes = Buffer.alloc(300_000, 'headrace ');
    const listener: RequestListener = (request, response) => {
      const [, start, last] = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '')?.map(Number) ?? [];
      const part = bytes.subarray(start, last + 1);
      response.writeHead(206, { etag: '"v"', 'content-length': part.length, 'content-range': `bytes ${start}-${last}/${bytes.length}` });
      response.end(part);
    };
    const url = await listen(createHttpsServer(SELF_SIGNED, listener), 'https');
    const options = { bucket: 'b', endpoint: url.origin, forcePathStyle: true, credentials: { accessKeyId: 'a', secretAccessKey: 's' } };
    const store = s3Store(options);
    closing.push(() => void store.close());
    const range = { startByte: 1, endByte: bytes.length };
    await expect(store.read('k', range)).rejects.toMatchObject({
      code: 'STORE_UNREACHABLE',
      detail: { tlsCode: expect.any(String) as string },
    });
    const { NODE_TLS_REJECT_UNAUTHORIZED: before } = process.env;
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    try {
      for (let i = 0; i < 2; i++) expect(Buffer.compare(await store.read('k', range), bytes.subarray(1))).toBe(0);
    } finally {
      if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
      else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before;
    }
  });

  it('waits for its turn where as many connections as may be are open, and leaves the line when it is aborted', async () => {
    const waiting: (() => void)[] = [];
    let connections = 0;
    const server = createHttpServer((_request, response) => void waiting.push(() => response.end('abc'))).on(
      'connection',
      () => connections++,
    );
    const url = await listen(server);
    const http = client();
    const many = Array.from({ length: 257 }, () => get(http, url));
    const ending = new AbortController();
    const left = get(http, url, undefined, ending.signal);
    ending.abort();
    await expect(left).rejects.toMatchObject({ code: 'ABORTED' });
    while (waiting.length < 256) await once(server, 'request');
    expect(connections).toBe(256);
    waiting.pop()?.();
    await once(server, 'request');
    for (const answer of waiting) answer();
    expect(await Promise.all(many.map((answer) => answer.then(text)))).toEqual(Array.from({ length: 257 }, () => 'abc'));
    expect(connections).toBe(256);
  });
});
