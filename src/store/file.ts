import { open, readdir, stat } from 'node:fs/promises';
import { HeadraceError } from '../core/errors.js';
import type { ObjectInfo, Store } from './store.js';
export function fileStore(counters = { requests: 0, bytes: 0, errors: 0 }): Store {
  const head = async (path: string): Promise<ObjectInfo> => {
    try { const s = await stat(path); if (!s.isFile()) throw new Error('no file'); return { path, size: s.size, etag: `${s.mtimeMs}-${s.size}` }; } catch (error) { throw new HeadraceError('STORE_NOT_FOUND', path, { cause: error }); }
  };
  return {
    uri: 'file://', head,
    list: async function* (prefix) {
      const names = await readdir(prefix, { recursive: true, withFileTypes: true }).catch((e: unknown) => { throw new HeadraceError('STORE_NOT_FOUND', prefix, { cause: e }); });
      const paths = names.filter((n) => n.isFile()).map((n) => `${n.parentPath}/${n.name}`.replace('//', '/')).sort();
      for (const p of paths) yield await head(p);
    },
    read: async (path, { startByte, endByte }) => {
      const f = await open(path); const out = new Uint8Array(endByte - startByte);
      await f.read(out, 0, out.length, startByte); await f.close(); counters.requests++; counters.bytes += out.length; return out;
    },
    close: async () => undefined,
  };
}
