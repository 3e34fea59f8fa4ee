/** Shards that are opened when they are needed, as others see them: `scanned-manifest.ts` makes them. */
import type { PlacedShard, SourceManifest } from './manifest.js';

/** Shards that are opened when they are needed. Where all of them are, nothing opens them. */
export type ScannedShards = { readonly kind: 'opened' } | { readonly kind: 'as-read'; readonly opener: ShardOpener };

/** Opens shards: finds what they hold. */
export interface ShardOpener {
  /**
   * One pass over the object, unless it is known. `at`: when its bytes are needed, as `Need` has it. Errors: those of `index`; `SHARD_CHANGED`; `ABORTED`
   * where the signal, or the opener's end, comes first: another one who waits for the same shard still gets it.
   */
  open(shard: number, at?: number, signal?: AbortSignal): Promise<PlacedShard>;
  /** The manifest with what all shards hold: they are all opened. */
  openAll(signal?: AbortSignal): Promise<SourceManifest>;
  close(): void;
}
