/** A worker thread: holds open windows, and turns their bytes into sequences when asked. It does no I/O. */
import { parentPort, workerData } from 'node:worker_threads';
import { toErrorRecord } from '../core/errors.js';
import { countPageRows } from '../decode/parquet/count-page-rows.js';
import { decodeParquetSlice } from '../decode/parquet/decode-slice.js';
import { concatPacker } from '../pack/concat.js';
import type { Packer, PackPosition } from '../pack/packer.js';
import { SequenceWriter } from '../pack/sequence-writer.js';
import { openPreparedTokenizer } from '../tokenize/load-tokenizer.js';
import type { DocumentEncoder } from '../tokenize/tokenizer.js';
import type { PackResult, WindowPayload, WorkerReply, WorkerRequest, WorkerSettings } from './messages.js';
import { WindowDocuments } from './window-documents.js';

const PACKERS: Readonly<Record<WorkerSettings['packing'], Packer>> = { concat: concatPacker };

interface OpenWindow {
  readonly payload: WindowPayload;
  /** Text is decoded when its first sequence is wanted: until then a window ahead costs its compressed bytes only. See `decodeAhead`. */
  documents: WindowDocuments | undefined;
  /** Time spent on that, until a result says so. */
  decodeMs: number;
  position: PackPosition;
}

interface Tools {
  readonly settings: WorkerSettings;
  readonly encoder: DocumentEncoder | undefined;
}

function createTools(settings: WorkerSettings): Tools {
  const { tokenizer } = settings;
  return { settings, encoder: tokenizer && openPreparedTokenizer(tokenizer.prepared, tokenizer.file) };
}

function decode(window: OpenWindow, { settings, encoder }: Tools): WindowDocuments {
  if (window.documents !== undefined) return window.documents;
  const started = performance.now();
  window.documents = new WindowDocuments(window.payload, {
    encoder,
    appendId: settings.tokenizer?.appendId,
    idsEnd: settings.idsEnd,
    badRows: settings.badRows,
    invalidUtf8: settings.tokenizer?.invalidUtf8 ?? 'error',
    decode: decodeParquetSlice,
  });
  window.decodeMs += performance.now() - started;
  return window.documents;
}

function pack(window: OpenWindow, sequencesMax: number, tools: Tools): PackResult {
  const { settings } = tools;
  const documents = decode(window, tools);
  const { decodeMs } = window;
  window.decodeMs = 0;
  const decoded = performance.now();
  const writer = new SequenceWriter({ length: settings.length, padId: settings.padId, sequencesMax, provenance: documents });
  window.position = PACKERS[settings.packing].pack(documents, window.position, writer);
  const chunk = writer.toChunk();
  const packed = performance.now();
  const { tokenizeMs, rowsSkipped } = documents.takeWork();
  return {
    chunk,
    end: window.position,
    documents: documents.count,
    done: window.position.document >= documents.count,
    work: { decodeMs, tokenizeMs, packMs: packed - decoded - tokenizeMs, rowsSkipped },
  };
}

function serve(): void {
  const port = parentPort;
  if (port === null) throw new Error('worker-thread.js runs in a worker thread only');
  const reply = (message: WorkerReply, transfer: readonly ArrayBuffer[] = []): void => port.postMessage(message, transfer);
  let tools: Tools;
  try {
    tools = createTools(workerData as WorkerSettings);
  } catch (error) {
    reply({ type: 'unusable', error: toErrorRecord(error) });
    return;
  }
  const windows = new Map<number, OpenWindow>();

  /**
   * Lanes come to the ends of their windows together: a worker that decodes the next ones while it would wait spares them the pause.
   * Ids only: decoded they are hardly larger than their bytes, which text is. What fails here fails again, and is told, when it is asked for.
   */
  const decodeAhead = (window: number): void => {
    const open = windows.get(window);
    if (open === undefined) return;
    try {
      decode(open, tools);
    } catch {
      open.documents = undefined;
    }
  };

  const handle = (request: WorkerRequest): void => {
    switch (request.type) {
      case 'open':
        windows.set(request.window, { payload: request.payload, documents: undefined, decodeMs: 0, position: request.from });
        if (request.payload.kind === 'tokens') setImmediate(decodeAhead, request.window);
        return;
      case 'close':
        windows.get(request.window)?.documents?.close();
        windows.delete(request.window);
        return;
      case 'count': {
        const result = countPageRows(request.request);
        reply({ type: 'counted', id: request.id, result });
        return;
      }
      case 'pack': {
        const window = windows.get(request.window);
        if (window === undefined) throw new Error(`window ${request.window} is not open in this worker`);
        const result = pack(window, request.sequencesMax, tools);
        const { ids, segments, segmentBounds, ends, digests } = result.chunk;
        reply({ type: 'packed', id: request.id, result }, [ids.buffer, segments.buffer, segmentBounds.buffer, ends.buffer, digests.buffer]);
      }
    }
  };

  port.on('message', (request: WorkerRequest) => {
    try {
      handle(request);
    } catch (error) {
      if (request.type === 'pack' || request.type === 'count') reply({ type: 'failed', id: request.id, error: toErrorRecord(error) });
      else throw error;
    }
  });
  reply({ type: 'ready' });
}

serve();
