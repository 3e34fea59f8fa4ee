/** Runs code that may never end, such as a user's, and ends it when its time is over: V8 stops whatever runs below a script with a timeout, loops and regular expressions included. */
import { createContext, Script, type Context } from 'node:vm';

const TIMED_OUT = 'ERR_SCRIPT_EXECUTION_TIMEOUT';

/** A script of its own, which can be given a timeout, that calls a function of ours, which cannot. */
interface Caller {
  readonly script: Script;
  readonly context: Context;
  work: () => void;
}

let caller: Caller | undefined;

/**
 * Whether `work` came to its end within the time; throws what it throws. A call costs some 0.1 ms, a thread that holds the watch: give it more than one row.
 * What `work` was doing when it was stopped is left as it is.
 */
export function runInTime(work: () => void, timeoutMs: number): boolean {
  caller ??= createCaller();
  caller.work = work;
  try {
    caller.script.runInContext(caller.context, { timeout: timeoutMs, displayErrors: false });
    return true;
  } catch (error) {
    if (isTimeout(error)) return false;
    throw error;
  } finally {
    caller.work = nothing;
  }
}

function createCaller(): Caller {
  const made: Caller = { script: new Script('work()'), context: createContext({ work: () => made.work() }), work: nothing };
  return made;
}

function nothing(): void {
  // between calls
}

/** It is made in the context of the script, so that it is no `Error` of ours. */
function isTimeout(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === TIMED_OUT;
}
