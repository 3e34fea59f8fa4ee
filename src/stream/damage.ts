/** Bytes that turn out to be damaged: how a worker asks for them anew, and how the error of it is told from others. */
import { HeadraceError } from '../core/errors.js';
import type { DamagedSlice } from './messages.js';

/** Slices of a window are to be read anew. */
export class WindowDamaged extends Error {
  override readonly name = 'WindowDamaged';
  readonly slices: readonly DamagedSlice[];

  constructor(slices: readonly DamagedSlice[]) {
    super(`${slices.length} slices of a window are damaged`);
    this.slices = slices;
  }
}

/** Whether an error says that the bytes of an object are damaged, and nothing else. */
export function isDamage(error: unknown): error is HeadraceError {
  return error instanceof HeadraceError && error.code === 'SHARD_INVALID';
}
