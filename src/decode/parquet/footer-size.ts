/** How much of a file's end is read for its footer: learnt from the shards of the same source, whose footers are much alike. */
import { LIMITS } from '../../config/limits.js';

export interface FooterSize {
  /** What to read of the next shard's end. */
  readonly guessBytes: number;
  /** A footer, with its trailer, had so many bytes. */
  learn(footerBytes: number): void;
}

/**
 * The largest of the last footers, and a quarter more: a second request costs a round trip, and some more bytes of the first one next to nothing. One
 * that is much larger than all others is forgotten after a while. What was learnt changes requests only.
 */
export function createFooterSize(): FooterSize {
  const recent: number[] = [];
  let guessBytes: number = LIMITS.footerGuessBytes;
  return {
    get guessBytes() {
      return guessBytes;
    },
    learn: (footerBytes) => {
      recent.push(footerBytes);
      if (recent.length > LIMITS.footersRemembered) recent.shift();
      const wanted = Math.ceil((1.25 * Math.max(...recent)) / PAGE_BYTES) * PAGE_BYTES;
      guessBytes = Math.min(LIMITS.footerGuessBytesMax, Math.max(LIMITS.footerGuessBytesMin, wanted));
    },
  };
}

/** Of disks and caches. */
const PAGE_BYTES = 4096;
