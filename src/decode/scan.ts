/** Bulk work that metadata needs, by its kind: the worker's half of `Scan`. */
import type { Scan, ScanKind, Scans } from './decoder.js';
import { scanRows } from './lines/scan-rows.js';
import { findDocumentEnds } from './array/document-ends.js';
import { cutMegatronDocuments } from './array/megatron-documents.js';
import { countPageRows } from './parquet/count-page-rows.js';
import { scanTarHeaders } from './webdataset/scan-headers.js';

const SCANNERS: { readonly [K in ScanKind]: (request: Scans[K]['request']) => Scans[K]['result'] } = {
  'parquet-pages': countPageRows,
  'row-starts': scanRows,
  'tar-headers': scanTarHeaders,
  'document-ends': findDocumentEnds,
  'megatron-documents': cutMegatronDocuments,
};

export function scanBytes<K extends ScanKind>(kind: K, request: Scans[K]['request']): Scans[K]['result'] {
  return SCANNERS[kind](request);
}

/** In this thread, for a process that has nothing else to do. */
export const scanHere: Scan = async (kind, request) => Promise.resolve(scanBytes(kind, request));
