/**
 * Joins reads: those of one object that are issued in the same turn of the event loop and lie close together become one request, and a read
 * of what is on its way already waits for that.
 *
 * ```
 *  turn 1:  read A ─┐                       ┌─ copy of A
 *           read B ─┼─ end of the turn ─ one request ─┼─ copy of B       aborted when A, B and C have all left
 *  turn 2:           read C, the same as B ─┘           └─ copy of C … if the request is for B alone
 * ```
 */
import { abortError, throwIfAborted, whenAborted } from '../core/abort.js';
import { joinRanges, type JoinLimits } from './join-ranges.js';
import type { ByteRange, ReadOptions, Store } from './store.js';
import { createStoreCounters, type StoreCounters } from './with-counters.js';

export interface CoalescingOptions extends JoinLimits {
  readonly counters?: StoreCounters;
}

/**
 * A read that waits for a request, made or to be made. Once it is settled it holds nothing: a table that a `Map` or a `Set` has grown out of keeps alive what
 * was deleted from it for as long as V8 has it in the old heap, and that was the bytes of most reads.
 */
interface Waiter extends ByteRange {
  group: Group | undefined;
  resolve: (bytes: Uint8Array) => void;
  reject: (error: Error) => void;
}

/** A request under way, or the reads of one object that wait for the end of the turn. */
interface Group {
  readonly waiters: Set<Waiter>;
  /** Aborted once the last waiter has left … */
  readonly abandoned: AbortController;
  /** … when nobody is to join it any more. */
  forget: () => void;
}

/** What a joined request fails with, each of its reads fails with: they are of one version of one object. */
export function withCoalescing(store: Store, options: CoalescingOptions): Store {
  const { counters = createStoreCounters() } = options;
  const gathering = new Map<string, Group>();
  const underWay = new Map<string, Group>();

  const send = async (path: string, ifMatch: string | undefined, range: ByteRange, group: Group): Promise<void> => {
    const key = keyOf(path, ifMatch, range);
    // whoever names no version wants what is there now: an answer on its way may be older
    if (ifMatch !== undefined) underWay.set(key, group);
    const forget = (): void => {
      if (underWay.get(key) === group) underWay.delete(key);
    };
    group.forget = forget;
    const { signal } = group.abandoned;
    try {
      const { startByte, endByte } = range;
      const bytes = await store.read(path, { startByte, endByte }, { ...(ifMatch !== undefined && { ifMatch }), signal });
      for (const waiter of group.waiters) {
        const alone = group.waiters.size === 1 && waiter.startByte === startByte && waiter.endByte === endByte;
        waiter.resolve(alone ? bytes : bytes.slice(waiter.startByte - startByte, waiter.endByte - startByte));
      }
    } catch (error) {
      for (const waiter of group.waiters) waiter.reject(error as Error);
    } finally {
      forget();
      group.waiters.clear();
    }
  };

  const sendAll = (path: string, ifMatch: string | undefined, gathered: Group): void => {
    gathering.delete(keyOf(path, ifMatch));
    const joined = joinRanges([...gathered.waiters], options);
    for (const { ranges, ...range } of joined) {
      const group = joined.length === 1 ? gathered : groupFrom(ranges);
      counters.coalesced += ranges.length - 1;
      void send(path, ifMatch, range, group);
    }
    if (joined.length > 1) gathered.waiters.clear();
  };

  const groupFrom = (waiters: readonly Waiter[]): Group => {
    const group: Group = { waiters: new Set(waiters), abandoned: new AbortController(), forget: NOTHING };
    for (const waiter of waiters) waiter.group = group;
    return group;
  };

  const groupFor = (path: string, range: ByteRange, ifMatch: string | undefined): Group => {
    const same = underWay.get(keyOf(path, ifMatch, range));
    if (same !== undefined) {
      counters.coalesced++;
      return same;
    }
    let group = gathering.get(keyOf(path, ifMatch));
    if (group === undefined) {
      const gathered: Group = { waiters: new Set(), abandoned: new AbortController(), forget: NOTHING };
      gathering.set(keyOf(path, ifMatch), gathered);
      setImmediate(() => sendAll(path, ifMatch, gathered));
      group = gathered;
    }
    return group;
  };

  const read = (path: string, range: ByteRange, { ifMatch, signal }: ReadOptions): Promise<Uint8Array> =>
    new Promise<Uint8Array>((resolve, reject) => {
      throwIfAborted(signal);
      const leave = (): void => {
        unlink?.();
        waiter.group = undefined;
        waiter.resolve = waiter.reject = NOTHING;
      };
      const waiter: Waiter = {
        startByte: range.startByte,
        endByte: range.endByte,
        group: groupFor(path, range, ifMatch),
        resolve: (bytes) => {
          leave();
          resolve(bytes);
        },
        reject: (error) => {
          leave();
          reject(error);
        },
      };
      const unlink =
        signal &&
        whenAborted(signal, () => {
          const left = waiter.group;
          left?.waiters.delete(waiter);
          waiter.reject(abortError(signal));
          if (left?.waiters.size !== 0) return;
          left.forget();
          left.abandoned.abort(signal.reason);
        });
      waiter.group?.waiters.add(waiter);
    });

  return {
    uri: store.uri,
    list: (prefix, listOptions) => store.list(prefix, listOptions),
    head: (path, headOptions) => store.head(path, headOptions),
    read: async (path, range, readOptions = {}) => {
      // nothing to join: no bytes, or bytes that are no range
      if (range.endByte <= range.startByte || range.startByte < 0) return store.read(path, range, readOptions);
      return read(path, range, readOptions);
    },
    close: () => store.close(),
  };
}

const NOTHING = (): void => undefined;

/** Paths and ETags hold no NUL. */
function keyOf(path: string, ifMatch: string | undefined, range?: ByteRange): string {
  const bytes = range === undefined ? '' : `${range.startByte}-${range.endByte}`;
  return `${path}\0${ifMatch ?? ''}\0${bytes}`;
}
