/**
 * Tokens that were just made, for the windows that wait for them. Windows are loaded ahead, those of the next epoch while the slices of this one are still
 * being tokenized: in a small corpus all of them. What the cache did not have then, it has when their turn comes.
 */

/** Told of an entry of the token cache, which others see as well, and of the window that made it. */
export type TakeTokens = (maker: number, entry: Uint8Array) => void;

export class FreshTokens {
  readonly #takers = new Map<string, Set<TakeTokens>>();

  /** Tells of the entry with this key when it is made. Returns what ends that. */
  want(key: string, take: TakeTokens): () => void {
    const takers = this.#takers.get(key) ?? new Set();
    this.#takers.set(key, takers.add(take));
    return () => {
      takers.delete(take);
      // of those that were told, the key may be wanted by others again
      if (takers.size === 0 && this.#takers.get(key) === takers) this.#takers.delete(key);
    };
  }

  made(maker: number, key: string, entry: Uint8Array): void {
    const takers = this.#takers.get(key);
    this.#takers.delete(key); // it is made once
    for (const take of takers ?? []) take(maker, entry);
  }
}
