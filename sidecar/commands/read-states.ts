/** States of a stream in files, as a checkpoint saved them: JSON of `state_dict()`, of `batch.cursor`, or a list of several. */
import { open } from 'node:fs/promises';
import type { Config } from '../../src/config/config.js';
import { LIMITS } from '../../src/config/limits.js';
import { HeadraceError, messageOf } from '../../src/core/errors.js';
import { formatSize } from '../../src/core/quantity.js';
import { cursorFromLedger } from '../../src/ledger/read-ledger.js';
import { parseCursor, type Cursor } from '../../src/plan/cursor.js';

/** Where the states are that a command starts from. */
export interface StateFlags {
  /** Files. */
  readonly cursor: readonly string[];
  /** Its directory; `true`: that of the configuration. */
  readonly ledger: string | true | undefined;
}

/** The states to make `step` from; none where it is made from the start. Errors: `CURSOR_INVALID`, `CONFIG_INVALID`, `LEDGER_INVALID`. */
export async function statesFor({ cursor, ledger }: StateFlags, step: number, { ledgerDir }: Config): Promise<Cursor[]> {
  if (ledger === undefined) return (await Promise.all(cursor.map(readStates))).flat();
  if (cursor.length > 0) throw invalidFlag('give either --cursor or --ledger, not both');
  const dir = ledger === true ? ledgerDir : ledger;
  if (dir === undefined) throw invalidFlag('--ledger needs a directory: the configuration names no ledger');
  return [await stateOfLedger(dir, step)];
}

/** With the change of weights that the step itself began with, which only the state after it holds. */
async function stateOfLedger(dir: string, step: number): Promise<Cursor> {
  const before = await cursorFromLedger(dir, step);
  const after = await cursorFromLedger(dir, step + 1, { plan: before.plan }).catch((error: unknown) => {
    if (error instanceof HeadraceError && error.code === 'LEDGER_INVALID') return before; // the run has not come so far
    throw error;
  });
  return { ...before, mixture: after.mixture };
}

function invalidFlag(message: string): HeadraceError {
  return new HeadraceError('CONFIG_INVALID', message, { detail: { field: 'ledger' } });
}

/** Of one file: one state or several. Errors: `CURSOR_INVALID`. */
export async function readStates(file: string): Promise<Cursor[]> {
  const text = await readState(file).catch((error: unknown) => {
    throw new HeadraceError('CURSOR_INVALID', `cannot read the state ${file}: ${messageOf(error)}`, {
      detail: { file },
      hint: 'Check the path; the file must be readable by this user.',
      cause: error,
    });
  });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalidState(file, messageOf(error), error);
  }
  return statesOf(value, file);
}

/** Errors: `CURSOR_INVALID`. */
export function statesOf(value: unknown, file: string): Cursor[] {
  const states = Array.isArray(value) ? (value as readonly unknown[]) : [value];
  if (states.length === 0) throw invalidState(file, 'it is an empty list', undefined);
  return states.map((state) => {
    try {
      return parseCursor(state);
    } catch (error) {
      throw invalidState(file, messageOf(error), error);
    }
  });
}

/** A file's text. Errors: those of the file system, and one where it is too large for a state or a configuration. */
export async function readState(file: string): Promise<string> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    if (size > LIMITS.stateBytesMax)
      throw new Error(`it has ${formatSize(size)}, and a state has at most ${formatSize(LIMITS.stateBytesMax)}`);
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}

function invalidState(file: string, problem: string, cause: unknown): HeadraceError {
  const known = cause instanceof HeadraceError ? cause : undefined;
  return new HeadraceError('CURSOR_INVALID', `${file} holds no state: ${problem}`, {
    detail: { ...known?.detail, file },
    hint: known?.hint ?? 'Pass JSON that holds what state_dict() or batch.cursor gave, or a list of such states.',
    ...(known === undefined && { cause }),
  });
}
