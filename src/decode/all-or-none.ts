/** Reads that share a reader: what fails waits for the others, which write to it. */
export async function allOrNone<const T extends readonly unknown[]>(reads: T): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(reads);
  return Promise.all(reads);
}
