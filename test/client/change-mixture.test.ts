import { describe, expect, it } from 'vitest';
import { changeMixture } from '../../src/index.js';

describe('a change of weights', () => {
  it.each([
    { what: 'a weight', at: { step: 10 }, weights: { web: Infinity }, named: /^the weight of web is Infinity/ },
    {
      what: 'a weight of a source that is called as an option',
      at: { step: 10 },
      weights: { ramp: 1 },
      ramp: Infinity,
      named: /^ramp is Infinity/,
    },
    { what: 'a step', at: { step: Number.NaN }, weights: { web: 1 }, named: /^step is NaN/ },
    { what: 'a ramp', at: { after: 1 }, weights: { web: 1 }, ramp: Infinity, named: /^ramp is Infinity/ },
  ])('is refused before it is sent where $what is no finite number', async ({ at, weights, ramp = 0, named }) => {
    const change = changeMixture({ address: 'ipc:///nobody/listens/here', at, weights, ramp, timeoutMs: 100 });
    await expect(change).rejects.toMatchObject({ code: 'MIXTURE_REFUSED', message: expect.stringMatching(named) as string });
  });
});
