/** A bound on how many works run at once. */

/** At most so many works at once; the others wait in order. */
export function createTurns(worksMax: number): <T>(work: () => Promise<T>) => Promise<T> {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (work) => {
    if (running < worksMax) running++;
    else await new Promise<void>((resolve) => waiting.push(resolve)); // who ends hands its turn over
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) running--;
      else next();
    }
  };
}
