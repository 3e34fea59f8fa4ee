/** Works that need nothing of one another: the first that fails aborts the others, and is what the caller hears of when they have ended. */
import { mapConcurrent } from './map-concurrent.js';

export async function sideBySide<const T extends readonly unknown[]>(
  works: { readonly [K in keyof T]: (signal: AbortSignal) => Promise<T[K]> },
  signal?: AbortSignal,
): Promise<{ -readonly [K in keyof T]: T[K] }> {
  const results = await mapConcurrent<(typeof works)[number], unknown>(works, works.length, (work, _, any) => work(any), signal);
  return results as { -readonly [K in keyof T]: T[K] };
}
