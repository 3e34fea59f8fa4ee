/** Works that need nothing of one another: the first that fails aborts the others, and is what the caller hears of when they have ended. */
import { withAnySignal } from './abort.js';

export async function sideBySide<const T extends readonly unknown[]>(
  works: { readonly [K in keyof T]: (signal: AbortSignal) => Promise<T[K]> },
  signal?: AbortSignal,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  const failed = new AbortController();
  return withAnySignal([signal, failed.signal], async (any) => {
    const running = works.map((work) => work(any));
    try {
      return (await Promise.all(running)) as { -readonly [K in keyof T]: Awaited<T[K]> };
    } catch (error) {
      failed.abort(error);
      await Promise.allSettled(running);
      throw error;
    }
  });
}
