/** A worker thread: holds open windows, and turns their bytes into sequences when asked. It does no I/O. */
import { parentPort } from 'node:worker_threads';
import { LIMITS } from '../config/limits.js';
import { toErrorRecord } from '../core/errors.js';
import { releaseRead } from '../decode/buffers.js';
import { scanBytes } from '../decode/scan.js';
import { importSliceDecoder, loadSliceDecoder, type SliceDecoder } from '../decode/slice-decoder.js';
import { createPacker } from '../pack/create-packer.js';
import type { Packer, PackPosition } from '../pack/packer.js';
import { SequenceWriter } from '../pack/sequence-writer.js';
import { tokensOnlyPacker } from '../pack/tokens-only.js';
import { compileTokenizer, openPreparedTokenizer } from '../tokenize/load-tokenizer.js';
import type { DocumentEncoder } from '../tokenize/tokenizer.js';
import type { ChatTokenizers } from '../chat/chat.js';
import type { EncodedSlice } from '../decode/decoder.js';
import { loadTransform } from '../transform/load-transform.js';
import type { Transform } from '../transform/transform.js';
import { CachedDocuments, keptSlice } from './cached-documents.js';
import { WindowDamaged } from './damage.js';
import { decodeWindow, type DecodedWindow } from './decode-window.js';
import type { PackResult, WindowPayload, WindowSlice, WorkerReply, WorkerRequest, WorkerSettings } from './messages.js';
import { RecordDocuments, type SourceTransform } from './record-documents.js';
import { chatRecords, fieldRecords, idRecords, textRecords, type EncodeRecords } from './record-encoders.js';
import type { OnTokenEntry } from './token-entry.js';
import { WindowDocuments, type DocumentOptions } from './window-documents.js';
import { SampleFields } from './sample-fields.js';
import { WindowSamples } from './window-samples.js';

type Documents = WindowDocuments | CachedDocuments | WindowSamples | RecordDocuments;

interface OpenWindow {
  readonly id: number;
  payload: WindowPayload;
  readonly decoder: SliceDecoder;
  /** What is stored is given back then: where the documents cannot be opened, it is not decoded again. */
  decoded: DecodedWindow | undefined;
  /** Text is decoded when its first sequence is wanted: until then a window ahead costs its compressed bytes only. See `decodeAhead`. */
  documents: Documents | undefined;
  /** Nothing was asked of it yet. */
  isAhead: boolean;
  /** Time spent on that, until a result says so. */
  decodeMs: number;
  readonly packer: Packer;
  position: PackPosition;
}

interface Tools {
  readonly settings: WorkerSettings;
  readonly encoder: CountingEncoder | undefined;
  /** By source of chats. */
  readonly chats: readonly (EncodeRecords | undefined)[];
  /** By source with a transform. */
  readonly transforms: readonly (Transform | undefined)[];
  readonly onEntry: (window: number, ...made: Parameters<OnTokenEntry>) => void;
}

interface CountingEncoder extends DocumentEncoder {
  /** Bytes of text since the last call. */
  takeBytes(): number;
}

/** Errors: `TOKENIZER_INVALID`, `TRANSFORM_INVALID`. */
async function createTools(settings: WorkerSettings, onEntry: Tools['onEntry']): Promise<Tools> {
  const { tokenizer } = settings;
  const encoder = tokenizer && withByteCount(openPreparedTokenizer(tokenizer.prepared, tokenizer.file));
  const transforms = await Promise.all(
    settings.transforms.map(async (transform) => transform && { ...transform, transform: await loadTransform(transform) }),
  );
  return {
    settings,
    encoder,
    chats: await createChatRecords(settings),
    transforms,
    onEntry,
  };
}

/** By source. */
async function createChatRecords(settings: WorkerSettings): Promise<(EncodeRecords | undefined)[]> {
  const tokenizers = openChatTokenizers(settings);
  if (tokenizers === undefined) return [];
  const { createChatEncoder } = await import('../chat/chat.js'); // most runs have no chats, and need no Jinja
  return settings.chats.map((chat) => chat && chatRecords(createChatEncoder(chat, tokenizers), isOfSamples(settings)));
}

function openChatTokenizers({ chatTokenizers, tokenizer }: WorkerSettings): ChatTokenizers | undefined {
  if (chatTokenizers === undefined || tokenizer === undefined) return undefined;
  const { matched, plain, spelling } = chatTokenizers;
  return { matched: openPreparedTokenizer(matched, tokenizer.file), plain: openPreparedTokenizer(plain, tokenizer.file), spelling };
}

function withByteCount(encoder: DocumentEncoder): CountingEncoder {
  let count = 0;
  return {
    encodeBatch: (bytes, bounds) => {
      count += bounds[bounds.length - 1] - bounds[0];
      return encoder.encodeBatch(bytes, bounds);
    },
    takeBytes: () => {
      const taken = count;
      count = 0;
      return taken;
    },
  };
}

function decode(window: OpenWindow, tools: Tools): Documents {
  if (window.documents !== undefined) return window.documents;
  const started = performance.now();
  window.documents = openDocuments(window, tools);
  window.decodeMs += performance.now() - started;
  return window.documents;
}

function openDocuments(window: OpenWindow, tools: Tools): Documents {
  const { settings, encoder, onEntry } = tools;
  const { tokenizer, idsEnd, badRows, length, packing } = settings;
  const { payload, decode, decodeBeside } = (window.decoded ??= decodeWindow(window.payload, window.decoder, settings.badBlocks));
  const options: DocumentOptions = {
    encoder,
    appendId: tokenizer?.appendId,
    idsEnd,
    rowTokens: packing.kind === 'none' ? length : undefined,
    badRows,
    invalidUtf8: tokenizer?.invalidUtf8 ?? 'error',
    decode,
    decodeBeside,
  };
  const { sourceIndex } = payload;
  const isMade = tools.chats[sourceIndex] !== undefined || tools.transforms[sourceIndex] !== undefined;
  if (isOfSamples(settings)) {
    const fields = new SampleFields(payload, options, settings.optionalFields[sourceIndex]);
    const documents = isMade ? recordDocuments(payload, options, tools, fields) : new WindowDocuments(payload, options);
    return new WindowSamples(documents, fields);
  }
  if (isMade) return recordDocuments(payload, options, tools);
  const cached = tokenizer !== undefined && payload.slices.some(({ tokens }) => tokens !== undefined);
  if (!cached) return new WindowDocuments(payload, options);
  const { idBytes } = tokenizer;
  return new CachedDocuments(payload, { ...options, idBytes, onEntry: (key, entry) => onEntry(window.id, key, entry) });
}

/** `fields`: of samples. */
function recordDocuments(payload: WindowPayload, options: DocumentOptions, tools: Tools, fields?: SampleFields): RecordDocuments {
  const transform = sourceTransform(payload, tools);
  const seen = transform?.makes.kind === 'fields' ? fields : undefined;
  const column = tools.settings.chats[payload.sourceIndex]?.column ?? transform?.makes.column ?? '';
  return new RecordDocuments(payload, { ...options, encode: recordEncoder(payload, options, tools), column, transform, fields: seen });
}

function recordEncoder(
  { sourceIndex }: WindowPayload,
  { idsEnd, rowTokens }: DocumentOptions,
  { settings, encoder, chats, transforms }: Tools,
): EncodeRecords {
  const chat = chats[sourceIndex];
  if (chat !== undefined) return chat;
  const makes = transforms[sourceIndex]?.makes;
  if (makes?.kind === 'fields') return fieldRecords;
  if (makes?.kind === 'ids') return idRecords(makes.column, idsEnd, rowTokens, isOfSamples(settings));
  if (makes === undefined || encoder === undefined) throw new Error('a window of records, of which nothing says what becomes of them');
  return textRecords(makes.column, encoder, settings.tokenizer?.appendId, isOfSamples(settings));
}

function isOfSamples({ packing }: WorkerSettings): boolean {
  return packing.kind === 'samples';
}

/** Validation does not depend on the seed of training. */
function sourceTransform({ sourceIndex, selection, fields }: WindowPayload, { settings, transforms }: Tools): SourceTransform | undefined {
  const transform = transforms[sourceIndex];
  const seed = (selection?.split === 'validation' ? selection.heldOut?.seed : undefined) ?? settings.seed;
  return transform && { ...transform, makes: { ...transform.makes, fields }, seed, rowMsMax: LIMITS.transformMsMax };
}

function pack(window: OpenWindow, sequencesMax: number, tools: Tools): PackResult {
  const { settings } = tools;
  window.isAhead = false;
  const documents = decode(window, tools);
  const { decodeMs } = window;
  window.decodeMs = 0;
  const decoded = performance.now();
  const aheadMs = documents.rows.decodeMs;
  const { length, padId, chats } = settings;
  const { sourceIndex, kind } = window.payload;
  const masked = chats[sourceIndex]?.loss === 'assistant';
  const hasIds = kind !== 'none' && tools.transforms[sourceIndex]?.makes.kind !== 'fields';
  const writer = new SequenceWriter({ length, padId, sequencesMax, provenance: documents.rows, hasIds, masked });
  window.position = window.packer.pack(documents, window.position, writer);
  const chunk = writer.toChunk();
  const packed = performance.now();
  const { decodeMs: rowsDecodeMs, tokenizeMs, rowsSkipped, rowsExcluded, rowsFiltered, skipped } = documents.rows.takeWork();
  return {
    chunk,
    end: window.position,
    documents: documents.count,
    done: window.position.document >= documents.count,
    work: {
      decodeMs: decodeMs + rowsDecodeMs,
      tokenizeMs,
      tokenizedBytes: tools.encoder?.takeBytes() ?? 0,
      // what was decoded ahead was so before; and rounding makes no time negative
      packMs: Math.max(0, packed - decoded - tokenizeMs - (rowsDecodeMs - aheadMs)),
      rowsSkipped,
      rowsExcluded,
      rowsFiltered,
      tokensTruncated: writer.dropped,
      skipped,
    },
  };
}

/** Others have tokenized a slice that the window wanted. What it has tokenized of it already stays. */
function takeTokens(window: OpenWindow | undefined, at: number, entry: Uint8Array, { settings }: Tools): void {
  if (window?.documents instanceof CachedDocuments) window.documents.take(at, entry);
  if (window === undefined || window.decoded !== undefined) return;
  const { slices } = window.payload;
  const kept = keptSlice(slices[at], entry, settings.badRows);
  if (kept !== undefined) window.payload = { ...window.payload, slices: slices.with(at, kept) };
}

/** What was made of its bytes has been copied, and sent. */
function closeWindow(window: OpenWindow | undefined): void {
  if (window === undefined) return;
  window.documents?.close();
  for (const { encoded, beside } of window.payload.slices) releaseRead(encoded, beside);
}

function serve(): void {
  const port = parentPort;
  if (port === null) throw new Error('worker-thread.js runs in a worker thread only');
  const reply = (message: WorkerReply, transfer: readonly ArrayBuffer[] = []): void => port.postMessage(message, transfer);
  let own: Tools | undefined;
  const windows = new Map<number, OpenWindow>();

  /**
   * Lanes come to the ends of their windows together: a worker that decodes the next ones while it would wait spares them the pause. One slice at a time,
   * since a lane may ask for another window meanwhile. Ids only: decoded they are hardly larger than their bytes, which text is. What fails here fails again,
   * and is told, when it is asked for.
   */
  const decodeAhead = (window: number, tools: Tools): void => {
    const open = windows.get(window);
    if (open?.isAhead !== true) return;
    try {
      if (decode(open, tools).rows.decodeNext()) setImmediate(decodeAhead, window, tools);
    } catch {
      open.isAhead = false;
    }
  };

  const configure = async (settings: WorkerSettings): Promise<void> => {
    try {
      own = await createTools(settings, (window, key, entry) => reply({ type: 'tokenized', window, key, entry }, [entry.buffer]));
    } catch (error) {
      reply({ type: 'unusable', error: toErrorRecord(error) });
      port.off('message', receive); // which is all that the thread lives for
      return;
    }
    reply({ type: 'ready' });
  };

  const handle = async (request: WorkerRequest): Promise<void> => {
    if (request.type === 'configure') return configure(request.settings);
    if (request.type === 'expect') {
      // what comes next waits: of two imports at a time that share modules, Node 20 may end neither
      await importSliceDecoder(request.format).catch(() => undefined); // fails again, and is told, when a window is opened
      return;
    }
    if (request.type === 'compile') {
      const form = compileTokenizer(request.source);
      reply({ type: 'compiled', id: request.id, result: form }, form === undefined ? [] : [form.buffer as ArrayBuffer]);
      return;
    }
    if (own === undefined) throw new Error('a worker is asked for work before it has its settings');
    const tools = own;
    switch (request.type) {
      case 'open':
        windows.set(request.window, {
          id: request.window,
          payload: request.payload,
          decoder: await loadSliceDecoder(request.payload.slices.flatMap(formatsOf)),
          decoded: undefined,
          documents: undefined,
          isAhead: true,
          decodeMs: 0,
          packer: tools.settings.tokensOnly === true ? tokensOnlyPacker : createPacker(tools.settings.packing),
          position: request.from,
        });
        if (request.payload.kind === 'tokens') setImmediate(decodeAhead, request.window, tools);
        return;
      case 'tokens':
        takeTokens(windows.get(request.window), request.slice, request.entry, tools);
        return;
      case 'close':
        closeWindow(windows.get(request.window));
        windows.delete(request.window);
        return;
      case 'scan':
        reply({ type: 'scanned', id: request.id, result: await scanBytes(request.kind, request.request) });
        return;
      case 'pack': {
        const window = windows.get(request.window);
        if (window === undefined) throw new Error(`window ${request.window} is not open in this worker`);
        const result = pack(window, request.sequencesMax, tools);
        const { ids, segments, segmentBounds, lossMask, ends, digests, fields } = result.chunk;
        reply({ type: 'packed', id: request.id, result }, [
          ids.buffer,
          segments.buffer,
          segmentBounds.buffer,
          ends.buffer,
          digests.buffer,
          ...(lossMask === undefined ? [] : [lossMask.buffer]),
          ...(fields === undefined ? [] : [fields.bytes.buffer, fields.bounds.buffer]),
        ]);
      }
    }
  };

  const handleOne = async (request: WorkerRequest): Promise<void> => {
    try {
      await handle(request);
    } catch (error) {
      if (request.type === 'pack' && error instanceof WindowDamaged) reply({ type: 'damaged', id: request.id, slices: error.slices });
      else if (request.type === 'pack' || request.type === 'scan' || request.type === 'compile')
        reply({ type: 'failed', id: request.id, error: toErrorRecord(error) });
      else throw error; // which ends the worker
    }
  };

  // one after the other: a window is opened, maybe with an import, before it is asked for sequences
  let previous: Promise<void> = Promise.resolve();
  const receive = (request: WorkerRequest): void => {
    previous = previous.then(() => handleOne(request));
  };
  port.on('message', receive);
}

function formatsOf({ encoded, beside }: WindowSlice): EncodedSlice['format'][] {
  return beside === undefined ? [encoded.format] : [encoded.format, beside.format];
}

serve();
