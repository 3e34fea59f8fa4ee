import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createEvictionOrder, type EvictionOrder } from '../../src/cache/eviction-order.js';
import type { Need } from '../../src/core/need.js';
import { createPermutation } from '../../src/core/permutation.js';
import { deriveKey } from '../../src/core/keyed-random.js';

const known = { fileBytes: 1, seenBy: 0 };
const popAll = (order: EvictionOrder): string[] => {
  const names: string[] = [];
  for (let name = order.pop(); name !== undefined; name = order.pop()) names.push(name);
  return names;
};
const of = (entries: Readonly<Record<string, Need | undefined>>): EvictionOrder => {
  const order = createEvictionOrder();
  for (const [name, need] of Object.entries(entries)) order.set(name, known, need);
  return order;
};

describe('what makes room', () => {
  it('is first what nobody planned, from the one used longest ago on', () => {
    const order = of({ a: undefined, soon: { at: 0, next: 0.5 }, b: undefined, c: undefined });
    expect(order.use('a', undefined)).toEqual(known);
    expect(popAll(order)).toEqual(['b', 'c', 'a', 'soon']);
    expect(order.bytes).toBe(0);
  });

  it('is then what is never needed again, and what is needed last', () => {
    const order = of({
      soon: { at: 0.1, next: 0.2 },
      never: { at: 0.1, next: Infinity },
      later: { at: 0.1, next: 1.4 },
      neither: { at: 0.1, next: Infinity },
      late: { at: 0.1, next: 1.1 },
    });
    expect(popAll(order)).toEqual(['never', 'neither', 'later', 'late', 'soon']);
  });

  it('is planned anew when it is read, and stays planned when it is read by somebody without a plan', () => {
    const order = of({ a: { at: 0, next: 0.5 }, b: { at: 0, next: 0.6 } });
    order.use('a', { at: 0.5, next: 1.5 });
    order.use('b', undefined);
    expect(popAll(order)).toEqual(['a', 'b']);
  });

  it('is planned by the soonest of those that need a part of it', () => {
    const order = of({
      a: { at: 0, next: 0.5 },
      b: { at: 0, next: 0.6 },
      c: { at: 0, next: 0.2 },
      never: { at: 0, next: 0.3 },
      unplanned: undefined,
    });
    order.use('a', { at: 0.1, next: 0.9 }, true); // the rest is needed before
    order.use('b', { at: 0.1, next: 0.4 }, true);
    order.use('c', { at: 0.2, next: 0.7 }, true); // as planned
    order.use('never', { at: 0.1, next: Infinity }, true);
    order.use('unplanned', { at: 0.1, next: 0.45 }, true);
    expect(popAll(order)).toEqual(['c', 'a', 'unplanned', 'b', 'never']);
  });

  it('is early what was not read when that was planned', () => {
    const order = of({ missed: { at: 0, next: 0.3 }, never: { at: 0, next: Infinity } });
    order.set('now', known, { at: 0.5, next: 1.2 });
    expect(popAll(order)).toEqual(['missed', 'never', 'now']);
  });

  it('takes what another process has just written for as late as its own latest', () => {
    const order = of({ soon: { at: 0, next: 0.5 }, latest: { at: 0.1, next: 0.9 } });
    order.setOther('other', known);
    expect(order.pop()).toBe('latest');
    expect(order.pop()).toBe('other');
    const without = of({ a: undefined });
    without.setOther('other', known);
    expect(popAll(without)).toEqual(['a', 'other']);
  });

  it('counts its entries and their bytes, whatever happens to them', () => {
    const name = fc.constantFrom('a', 'b', 'c', 'd', 'e');
    const need = fc.option(fc.record({ at: fc.constantFrom(0, 1, 2), next: fc.constantFrom(0.5, 1.5, 2.5, Infinity) }), { nil: undefined });
    const step = fc.oneof(
      fc.record({ kind: fc.constant('set' as const), name, need, bytes: fc.integer({ min: 1, max: 9 }) }),
      fc.record({ kind: fc.constant('use' as const), name, need }),
      fc.record({ kind: fc.constant('delete' as const), name }),
      fc.record({ kind: fc.constant('pop' as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const order = createEvictionOrder();
        const model = new Map<string, number>();
        for (const step of steps) {
          if (step.kind === 'set') {
            order.set(step.name, { fileBytes: step.bytes, seenBy: 0 }, step.need);
            model.set(step.name, step.bytes);
          } else if (step.kind === 'use') {
            expect(order.use(step.name, step.need)?.fileBytes).toBe(model.get(step.name));
          } else if (step.kind === 'delete') {
            expect(order.delete(step.name)).toBe(model.delete(step.name));
          } else {
            const popped = order.pop();
            expect(popped === undefined).toBe(model.size === 0);
            if (popped !== undefined) expect(model.delete(popped)).toBe(true);
          }
          expect([...order.names()].sort()).toEqual([...model.keys()].sort());
          expect(order.size).toBe(model.size);
          expect(order.bytes).toBe([...model.values()].reduce((sum, bytes) => sum + bytes, 0));
        }
      }),
    );
  });
});

it('a cache of half a data set has half of each shuffled epoch by the plan, and less by the order of use', () => {
  const SIZE = 200;
  const EPOCHS = 6;
  const orders = Array.from({ length: EPOCHS + 1 }, (_, epoch) => createPermutation(deriveKey('epoch', epoch), SIZE));
  const hitShare = (planned: boolean): number => {
    const order = createEvictionOrder();
    let hits = 0;
    for (let epoch = 0; epoch < EPOCHS; epoch++) {
      for (let i = 0; i < SIZE; i++) {
        const value = orders[epoch].at(i);
        const need = planned ? { at: epoch + i / SIZE, next: epoch + 1 + orders[epoch + 1].indexOf(value) / SIZE } : undefined;
        if (order.use(String(value), need) !== undefined) {
          if (epoch > 0) hits++;
          continue;
        }
        if (order.bytes === SIZE / 2) order.pop();
        order.set(String(value), known, need);
      }
    }
    return hits / (SIZE * (EPOCHS - 1));
  };
  expect(hitShare(true)).toBeGreaterThan(0.48);
  expect(hitShare(false)).toBeLessThan(0.25);
});
