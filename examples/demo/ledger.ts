/** What all ranks received, document by document. */

/** A rank's batch, as far as the ledger cares. */
export interface Delivery {
  readonly step: number;
  /** Tokens without padding. */
  readonly tokens: number;
  /** Tokens with padding. */
  readonly size: number;
  /** [segments × 6]: source, shard, row, tokenStart, length, flags. */
  readonly segments: ArrayLike<number>;
}

export class Ledger {
  tokens = 0;
  padding = 0;
  /** By `shard/row`: where each received piece starts, and how long it is. */
  readonly #pieces = new Map<string, [start: number, length: number][]>();

  get documents(): number {
    return this.#pieces.size;
  }

  add({ tokens, size, segments }: Delivery): void {
    this.tokens += tokens;
    this.padding += size - tokens;
    for (let i = 0; i < segments.length; i += 6) {
      if (segments[i] < 0) continue;
      const key = `${segments[i + 1]}/${segments[i + 2]}`;
      const pieces = this.#pieces.get(key) ?? [];
      pieces.push([segments[i + 3], segments[i + 4]]);
      this.#pieces.set(key, pieces);
    }
  }

  /** Whether each document came once, whole: its pieces join without a gap or an overlap, to the length that it has. */
  isExactly(lengths: ReadonlyMap<string, number>): boolean {
    return this.#pieces.size === lengths.size && [...lengths].every(([key, length]) => this.#covers(key, length));
  }

  #covers(key: string, length: number): boolean {
    let end = 0;
    for (const [start, taken] of (this.#pieces.get(key) ?? []).sort((a, b) => a[0] - b[0])) {
      if (start !== end) return false;
      end += taken;
    }
    return end === length;
  }
}
