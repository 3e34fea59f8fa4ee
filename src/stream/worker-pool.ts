/**
 * The worker threads, and the windows that are open in them. A window stays in one worker, where its decoded rows are, and is asked for sequences in small
 * portions, in the order in which lanes need them. A worker that dies is replaced, and its windows are fetched and opened again where they stood: the
 * result cannot differ, because a window's sequences depend on its rows only.
 */
import { availableParallelism } from 'node:os';
import type { Worker } from 'node:worker_threads';
import type { Config } from '../config/config.js';
import { LIMITS } from '../config/limits.js';
import { abortError, untilAborted } from '../core/abort.js';
import type { FormatName } from '../core/format.js';
import { fromErrorRecord, HeadraceError, messageOf } from '../core/errors.js';
import { buffersOf } from '../decode/buffers.js';
import type { Scan, ScanKind, Scans } from '../decode/decoder.js';
import type { PackPosition } from '../pack/packer.js';
import type { CompileElsewhere } from '../tokenize/load-tokenizer.js';
import { tooSlowToLoad } from '../transform/invalid.js';
import { WindowDamaged } from './damage.js';
import { takeWorker } from './early-worker.js';
import { FreshTokens } from './fresh-tokens.js';
import type { DamagedSlice, PackResult, WindowPayload, WorkerReply, WorkerRequest, WorkerSettings } from './messages.js';
import type { OnTokenEntry } from './token-entry.js';

/**
 * Fetches a window's bytes, of `damaged` slices anew. Called again when the worker that had them is lost, or when slices turned out to be damaged. Tells
 * `onLookup` of the keys of tokens that it looks for in the cache, before it does.
 */
export type LoadWindow = (damaged: readonly DamagedSlice[], onLookup: (key: string) => void, signal: AbortSignal) => Promise<WindowPayload>;

/** Told of the tokens of a slice, and of the window that made them. */
type OnTokens = (window: number, ...made: Parameters<OnTokenEntry>) => void;

/**
 * As many threads as the configuration says; else one a core, but for that of the main thread. On two cores two: the main thread takes a third of one, and
 * one worker was left waiting behind it for a fifth of the time.
 */
export function workersOf({ limits }: Config): number {
  const cores = availableParallelism();
  return limits.workers ?? Math.max(Math.min(2, cores), cores - 1);
}

/** Of them those that start with the pool: what shares a core with the main thread would only delay the first batch. */
export function workersAtFirstOf(config: Config): number {
  return Math.min(workersOf(config), Math.max(1, availableParallelism() - 1));
}

/** A lane has two windows at most. Where lanes cannot be shared out evenly, a worker has one lane more than another: that is no reason to move one. */
const WINDOWS_APART_MAX = 3;

type WorkerResult = PackResult | Scans[ScanKind]['result'] | Uint8Array | undefined;

interface Pending {
  readonly resolve: (result: WorkerResult) => void;
  readonly reject: (reason: unknown) => void;
}

/** The worker that held a window is gone; the window is not to blame yet. */
class WorkerLost extends Error {
  override readonly name = 'WorkerLost';
}

/** One thread, from its start to its end. */
class WorkerSlot {
  /** Resolves when the thread has its settings, and has opened its tokenizer. */
  readonly ready: Promise<void>;
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #nextId = 0;
  #lost: WorkerLost | undefined;
  /** Windows open here. */
  windows = 0;

  constructor(onTokens: OnTokens) {
    this.#worker = takeWorker();
    let onReady: () => void = () => undefined;
    let onUnusable: (reason: unknown) => void = () => undefined;
    this.ready = new Promise((resolve, reject) => {
      onReady = resolve;
      onUnusable = reject;
    });
    this.ready.catch(() => undefined); // heard by whoever waits for it; a later request fails as well
    const lose = (reason: unknown): void => {
      this.#lost ??= new WorkerLost(`a worker thread ended: ${messageOf(reason)}`, { cause: reason });
      onUnusable(this.#lost);
      for (const pending of this.#pending.values()) pending.reject(this.#lost);
      this.#pending.clear();
    };
    this.#worker.on('error', lose);
    this.#worker.on('messageerror', lose);
    this.#worker.on('exit', (code) => lose(new Error(`exit code ${code}`)));
    this.#worker.on('message', (reply: WorkerReply) => {
      if (reply.type === 'ready') onReady();
      else if (reply.type === 'unusable') onUnusable(fromErrorRecord(reply.error));
      else if (reply.type === 'tokenized') onTokens(reply.window, reply.key, reply.entry);
      else this.#settle(reply);
    });
  }

  get isLost(): boolean {
    return this.#lost !== undefined;
  }

  configure(settings: WorkerSettings): void {
    this.#worker.postMessage({ type: 'configure', settings } satisfies WorkerRequest);
  }

  post(request: WorkerRequest, transfer: readonly ArrayBuffer[] = []): void {
    if (this.#lost !== undefined) throw this.#lost;
    this.#worker.postMessage(request, transfer);
  }

  async request<T extends WorkerResult>(make: (id: number) => WorkerRequest, transfer: readonly ArrayBuffer[] = []): Promise<T> {
    await this.ready;
    return this.requestEarly(make, transfer);
  }

  /** What needs no settings. */
  requestEarly<T extends WorkerResult>(make: (id: number) => WorkerRequest, transfer: readonly ArrayBuffer[] = []): Promise<T> {
    const id = this.#nextId++;
    return new Promise<T>((resolve, reject) => {
      if (this.#lost !== undefined) {
        reject(this.#lost);
        return;
      }
      this.#pending.set(id, { resolve: resolve as (result: WorkerResult) => void, reject });
      this.#worker.postMessage(make(id), transfer);
    });
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #settle(reply: Extract<WorkerReply, { readonly id: number }>): void {
    const pending = this.#pending.get(reply.id);
    if (pending === undefined) return;
    this.#pending.delete(reply.id);
    if (reply.type === 'damaged') pending.reject(new WindowDamaged(reply.slices));
    else if (reply.type === 'failed') pending.reject(fromErrorRecord(reply.error));
    else pending.resolve(reply.result);
  }
}

/** Threads start with the pool: what they are to do with their work may come later, while they load their code. */
export class WorkerPool {
  #settings: WorkerSettings | undefined;
  readonly #fresh = new FreshTokens();
  readonly #onTokens: OnTokens;
  readonly #slots: WorkerSlot[];
  /** That start while the others work. */
  readonly #coming = new Set<WorkerSlot>();
  #workersMissing: number;
  readonly #formats = new Set<FormatName>();
  /** The worker that has an owner's last window. */
  readonly #homes = new WeakMap<object, WorkerSlot>();
  #nextWindow = 0;
  #closed = false;

  /** `workersAtFirst`: the others start when the first lane has its second window, after the first batch. */
  constructor(workers: number, onEntry: OnTokenEntry, workersAtFirst = workers) {
    this.#onTokens = (window, key, entry) => {
      onEntry(key, entry);
      this.#fresh.made(window, key, entry);
    };
    this.#workersMissing = workers - workersAtFirst;
    this.#slots = Array.from({ length: workersAtFirst }, () => new WorkerSlot(this.#onTokens));
  }

  /** Once, before a window is opened; scans wait for it. Resolves when a worker is ready. Errors: `TOKENIZER_INVALID`, `TRANSFORM_INVALID`, `WORKER_FAILED`. */
  async configure(settings: WorkerSettings): Promise<void> {
    this.#settings = settings;
    for (const slot of this.#slots) slot.configure(settings);
    try {
      await inTime(this.#slots[0].ready, settings);
    } catch (error) {
      if (!(error instanceof WorkerLost)) throw error;
      throw new HeadraceError('WORKER_FAILED', 'the worker threads cannot start', { cause: error });
    }
  }

  /** In the first worker, which has nothing else to do until it is configured. */
  readonly compile: CompileElsewhere = async (source, signal) => {
    try {
      return await untilAborted(
        this.#slots[0].requestEarly<Uint8Array | undefined>((id) => ({ type: 'compile', id, source })),
        signal,
      );
    } catch (error) {
      if (error instanceof WorkerLost) return undefined; // whoever asks can do it as well; `configure` tells of threads that cannot start
      throw error;
    }
  };

  /** Windows of this format will come: the threads import what they need for it while nobody waits. */
  expect(format: FormatName): void {
    this.#formats.add(format);
    for (const slot of this.#slots) if (!slot.isLost) slot.post({ type: 'expect', format });
  }

  /** In the least busy worker. */
  readonly scan: Scan = async (kind, request, signal) => {
    const slot = this.#leastBusy();
    return untilAborted(
      slot.request<Scans[typeof kind]['result']>((id) => ({ type: 'scan', id, kind, request }), [request.bytes.buffer as ArrayBuffer]),
      signal,
    );
  };

  /**
   * Starts to load a window and gives it to a worker. `label` names it in errors. `owner`: whose windows come one after the other, with slices of the same
   * blocks: they go to one worker, which may have kept what it decompressed for the one before.
   */
  openWindow(load: LoadWindow, from: PackPosition, label: string, owner: object): WindowHandle {
    return new WindowHandle(
      load,
      from,
      label,
      this.#fresh,
      () => this.#slotFor(owner),
      () => this.#nextWindow++,
    );
  }

  /** The owner's, unless it is much busier than another. */
  #slotFor(owner: object): WorkerSlot {
    const home = this.#homes.get(owner);
    if (home !== undefined) this.#startMissing();
    const least = this.#leastBusy();
    const slot = home === undefined || home.isLost || home.windows > least.windows + WINDOWS_APART_MAX ? least : home;
    this.#homes.set(owner, slot);
    return slot;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#slots, ...this.#coming].map((slot) => slot.end()));
  }

  #leastBusy(): WorkerSlot {
    if (this.#closed) throw new HeadraceError('ABORTED', 'the pipeline is closed');
    for (const [index, slot] of this.#slots.entries()) {
      if (!slot.isLost) continue;
      this.#slots[index] = this.#start();
    }
    return this.#slots.reduce((best, slot) => (slot.windows < best.windows ? slot : best));
  }

  /** Each counts once it is ready. One that cannot start is done without: those that are there make the same stream. */
  #startMissing(): void {
    for (; this.#workersMissing > 0; this.#workersMissing--) {
      const slot = this.#start();
      this.#coming.add(slot);
      slot.ready.then(() => this.#coming.delete(slot) && this.#slots.push(slot)).catch(() => this.#coming.delete(slot));
    }
  }

  #start(): WorkerSlot {
    const slot = new WorkerSlot(this.#onTokens);
    if (this.#settings !== undefined) slot.configure(this.#settings);
    for (const format of this.#formats) slot.post({ type: 'expect', format });
    return slot;
  }
}

/** A module that runs for ever at its top level cannot say so: nothing else runs in its thread. */
async function inTime(ready: Promise<void>, { transforms }: WorkerSettings): Promise<void> {
  const files = transforms.flatMap((transform) => (transform === undefined ? [] : [transform.file]));
  if (files.length === 0) return ready;
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(tooSlowToLoad(files)), LIMITS.transformMsMax + LIMITS.workerStartMsMax);
  });
  try {
    await Promise.race([ready, tooLate]);
  } finally {
    clearTimeout(timer);
  }
}

interface Placement {
  readonly slot: WorkerSlot;
  readonly window: number;
}

/** A window that is open, or on its way, in some worker. */
export class WindowHandle {
  readonly #load: LoadWindow;
  readonly #label: string;
  readonly #fresh: FreshTokens;
  readonly #chooseSlot: () => WorkerSlot;
  readonly #newWindow: () => number;
  readonly #closing = new AbortController();
  /** End its wants of tokens that others make. */
  #wants: (() => void)[] = [];
  #placement: Promise<Placement>;
  #position: PackPosition;
  #strikes = 0;
  #damaged: readonly DamagedSlice[] = [];
  #loadedMs = 0;

  constructor(
    load: LoadWindow,
    from: PackPosition,
    label: string,
    fresh: FreshTokens,
    chooseSlot: () => WorkerSlot,
    newWindow: () => number,
  ) {
    this.#load = load;
    this.#position = from;
    this.#label = label;
    this.#fresh = fresh;
    this.#chooseSlot = chooseSlot;
    this.#newWindow = newWindow;
    this.#placement = this.#place();
  }

  /** When (`performance.now`) the bytes of the window were there, the last time. */
  get loadedMs(): number {
    return this.#loadedMs;
  }

  /** The next sequences, at most `sequencesMax`. Errors: those of loading and of the rows; `WORKER_FAILED` where the window ended several workers. */
  async next(sequencesMax: number): Promise<PackResult> {
    for (;;) {
      let placement: Placement | undefined;
      try {
        placement = await this.#placement;
        const { slot, window } = placement;
        const result = await slot.request<PackResult>((id) => ({ type: 'pack', id, window, sequencesMax }));
        this.#position = result.end;
        return result;
      } catch (error) {
        if (this.#closing.signal.aborted) throw abortError(this.#closing.signal);
        if (error instanceof WindowDamaged && placement !== undefined) {
          this.#leave(placement);
          this.#damaged = [...this.#damaged, ...error.slices]; // each once: what was read anew is not asked for again
          this.#placement = this.#place();
          continue;
        }
        if (!(error instanceof WorkerLost)) throw error;
        this.#strikes++;
        if (this.#strikes >= LIMITS.workerStrikesMax) throw this.#blame(error);
        if (placement !== undefined) placement.slot.windows--;
        this.#placement = this.#place();
      }
    }
  }

  /** Frees the window wherever it is. */
  close(): void {
    this.#closing.abort();
    this.#endWants();
    this.#placement.then(
      (placement) => this.#leave(placement),
      () => undefined, // it was never opened
    );
  }

  #leave({ slot, window }: Placement): void {
    slot.windows--;
    if (!slot.isLost) slot.post({ type: 'close', window });
  }

  #place(): Promise<Placement> {
    const placement = this.#loadAndPost();
    placement.catch(() => undefined); // heard by the next call of next(), or by nobody if the window is closed first
    return placement;
  }

  async #loadAndPost(): Promise<Placement> {
    this.#endWants();
    const window = this.#newWindow();
    /** That others made while it was loaded. */
    const made = new Map<string, Uint8Array>();
    let give = (key: string, entry: Uint8Array): unknown => made.set(key, entry);
    const onLookup = (key: string): void => {
      if (!this.#closing.signal.aborted) this.#wants.push(this.#fresh.want(key, (maker, entry) => maker !== window && give(key, entry)));
    };
    const payload = await this.#load(this.#damaged, onLookup, this.#closing.signal);
    this.#loadedMs = performance.now();
    const slot = this.#chooseSlot();
    const wanted = payload.slices.map(({ tokens }) => (tokens?.kind === 'wanted' ? tokens.key : undefined));
    slot.post({ type: 'open', window, payload, from: this.#position }, transferables(payload));
    slot.windows++;
    give = (key, entry) => {
      const slice = wanted.indexOf(key);
      if (slice < 0 || slot.isLost) return;
      const own = entry.slice();
      slot.post({ type: 'tokens', window, slice, entry: own }, [own.buffer]);
    };
    for (const [key, entry] of made) give(key, entry);
    return { slot, window };
  }

  #endWants(): void {
    for (const end of this.#wants) end();
    this.#wants = [];
  }

  #blame(error: WorkerLost): HeadraceError {
    return new HeadraceError('WORKER_FAILED', `${this.#label} ended ${this.#strikes} worker threads`, {
      detail: { window: this.#label, strikes: this.#strikes },
      hint: 'A row that is too large for the memory is the usual reason: look at the shards of this window. Or a transform that makes a promise which fails, or ends its process.',
      cause: error,
    });
  }
}

function transferables(payload: WindowPayload): ArrayBuffer[] {
  return payload.slices.flatMap(({ encoded, beside, tokens }) => [
    ...buffersOf(encoded, beside),
    ...(tokens?.kind === 'kept' ? [tokens.entry.buffer as ArrayBuffer] : []),
  ]);
}
