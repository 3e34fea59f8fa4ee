import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/config/limits.js';
import { ByteBudget, type WindowsAhead } from '../../src/stream/byte-budget.js';

/** Until all that can go on has gone on. */
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

const due: WindowsAhead = () => 0;
const ahead: WindowsAhead = () => 1;

/** Loads that last until the test ends them. */
function loads(budget: ByteBudget): {
  readonly admitted: string[];
  ask(name: string, windowsAhead: WindowsAhead, bytes?: number, signal?: AbortSignal): Promise<void>;
  end(name: string): Promise<void>;
} {
  const admitted: string[] = [];
  const ends = new Map<string, () => void>();
  return {
    admitted,
    ask: (name, windowsAhead, bytes = 10, signal = new AbortController().signal) => {
      const load = (): Promise<void> =>
        new Promise((resolve) => {
          admitted.push(name);
          ends.set(name, resolve);
        });
      budget.use(bytes, windowsAhead, signal, load).catch(() => undefined);
      return turn();
    },
    end: (name) => {
      ends.get(name)?.();
      return turn();
    },
  };
}

describe('ByteBudget', () => {
  it('admits a window that is due before those that are fetched ahead, though they asked first', async () => {
    const { admitted, ask, end } = loads(new ByteBudget(10));
    await ask('first', due);
    await ask('ahead 0', ahead);
    await ask('ahead 1', ahead);
    await ask('due 2', due);
    await ask('due 3', due);
    const order = ['first', 'due 2', 'due 3', 'ahead 0', 'ahead 1'];
    for (const name of order) await end(name);
    expect(admitted).toEqual(order);
  });

  it('admits a window ahead as a due one once its lane has come to it', async () => {
    const { admitted, ask, end } = loads(new ByteBudget(10));
    let windowsAhead = 1;
    await ask('first', due);
    await ask('moves on', () => windowsAhead);
    await ask('due', due);
    windowsAhead = 0;
    await end('first');
    expect(admitted).toEqual(['first', 'moves on']);
  });

  it('lets only so many pass a window that is fetched ahead', async () => {
    const { admitted, ask, end } = loads(new ByteBudget(10));
    await ask('due 0', due);
    await ask('ahead', ahead);
    for (let i = 0; !admitted.includes('ahead') && i < 10 * LIMITS.windowsPassedMax; i++) {
      await ask(`due ${i + 1}`, due); // another lane that always waits
      await end(`due ${i}`);
    }
    expect(admitted.indexOf('ahead')).toBe(LIMITS.windowsPassedMax);
  });

  it('lets a small window that is due in where a large one ahead does not fit, and no other way round', async () => {
    const budget = new ByteBudget(100);
    const { admitted, ask, end } = loads(budget);
    await ask('held', due, 50);
    await ask('large ahead', ahead, 60);
    await ask('small due', due, 40);
    expect(admitted).toEqual(['held', 'small due']);
    await ask('large due', due, 90);
    await ask('small ahead', ahead, 10);
    expect(budget.heldBytes).toBe(90); // it would fit
    await end('held');
    expect(admitted).toEqual(['held', 'small due']);
    await end('small due');
    expect(admitted).toEqual(['held', 'small due', 'large due']);
  });

  it('passes the turn on when the next one in line leaves', async () => {
    const { admitted, ask } = loads(new ByteBudget(100));
    const leaving = new AbortController();
    await ask('held', due, 50);
    await ask('large', due, 90, leaving.signal);
    await ask('small', due, 10);
    expect(admitted).toEqual(['held']);
    leaving.abort();
    await turn();
    expect(admitted).toEqual(['held', 'small']);
  });
});
