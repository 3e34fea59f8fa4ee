/** Bulk work that metadata needs, by its kind: the worker's half of `Scan`. Each is imported when it is first asked for. */
import { releaseBuffer } from '../core/raw-memory.js';
import type { Scan, ScanKind, Scans } from './decoder.js';

const SCANNERS: { readonly [K in ScanKind]: () => Promise<(request: Scans[K]['request']) => Scans[K]['result']> } = {
  'parquet-pages': async () => (await import('./parquet/count-page-rows.js')).countPageRows,
  'row-starts': async () => (await import('./lines/scan-rows.js')).scanRows,
  'tar-headers': async () => {
    const { scanTarHeaders } = await import('./webdataset/scan-headers.js');
    return (request) => {
      const found = scanTarHeaders(request);
      releaseBuffer(request.bytes.buffer as ArrayBuffer); // a whole archive passes: left to the collector, it would make it go over the heap all the time
      return found;
    };
  },
  'document-ends': async () => (await import('./array/document-ends.js')).findDocumentEnds,
  'megatron-documents': async () => (await import('./array/megatron-documents.js')).cutMegatronDocuments,
  'item-table': async () => (await import('./items/item-table.js')).cutItemTable,
};

export async function scanBytes<K extends ScanKind>(kind: K, request: Scans[K]['request']): Promise<Scans[K]['result']> {
  const scan = await SCANNERS[kind]();
  return scan(request);
}

/** In this thread, for a process that has nothing else to do. */
export const scanHere: Scan = (kind, request) => scanBytes(kind, request);
