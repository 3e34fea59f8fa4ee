/** The compiled forms of tokenizers between runs: a cache like that of byte ranges, small, and in a directory of its own. */
import { tokenizersDir } from './layout.js';
import { CACHE_LIMITS } from './limits.js';
import { createRangeCache, type RangeCache } from './range-cache.js';
import type { Warn } from './troubles.js';

/** `cacheDir`: the whole cache's. A power cut may damage a form, which its checksum shows. */
export function openCompiledForms(cacheDir: string, warn: Warn | undefined): Pick<RangeCache, 'get' | 'put' | 'close'> {
  return createRangeCache({ dir: tokenizersDir(cacheDir), bytesMax: CACHE_LIMITS.tokenizersBytesMax, fsync: 'never', warn });
}
