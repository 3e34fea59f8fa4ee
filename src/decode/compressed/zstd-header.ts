/** What is asked of a zstd frame before a byte of it is decompressed. */
import type { ZstdFrameHeader } from './frames.js';
import { CONTENT_LIMITS } from './limits.js';

/** It is whole, and nothing that is decompressed here. */
export class ZstdUnsupported extends Error {
  override readonly name = 'ZstdUnsupported';
}

/** Throws `ZstdUnsupported`. */
export function checkZstdHeader({ dictionaryId, windowBytes }: ZstdFrameHeader): void {
  if (dictionaryId !== 0) throw new ZstdUnsupported(`a zstd frame needs the dictionary ${dictionaryId}`);
  if (windowBytes > CONTENT_LIMITS.zstdWindowBytesMax) {
    throw new ZstdUnsupported(`a zstd frame needs a window of ${windowBytes} bytes, and ${CONTENT_LIMITS.zstdWindowBytesMax} is the limit`);
  }
}
