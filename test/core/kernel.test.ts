import { expect, it } from 'vitest';
import { loadKernel } from '../../src/core/kernel.js';

it('a kernel that is not there is a fault of the installation, and says what to do', () => {
  expect(() => loadKernel('no-such-kernel')).toThrow(
    expect.objectContaining({
      code: 'INTERNAL',
      message: expect.stringMatching(/^cannot load no-such-kernel\.wasm, a part of headrace: /),
      hint: expect.stringMatching(/Install headrace again/),
    }),
  );
});
