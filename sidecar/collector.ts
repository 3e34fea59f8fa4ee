/** How V8 collects garbage in a process that is headrace's own: with fewer full collections. */
import { setFlagsFromString } from 'node:v8';

/**
 * A heap may grow to so many per cent more than what is alive before it is collected whole. V8 counts buffers as heap, and lowers its own factor to a tenth
 * where little is alive: it marked 20 MiB of live objects for every 30 MiB of batches, a tenth to a fifth of the sidecar's CPU. This costs some 30 MiB, no
 * more, since most buffers die young and are freed by the small collections.
 */
const HEAP_GROWING_PERCENT = 600;

/**
 * V8's memory reducer gives memory of idle pages back, and starts collections to have some: worth nothing to a process that is busy or about to end. Without
 * it a stream of tokens took 5 to 6 % less CPU, one of text 2 to 5 (four tables of 6 to 8 pairs); collections of the old generation came as often.
 */
const WITHOUT_MEMORY_REDUCER = '--no-memory-reducer';

/** Before anything is allocated; for the threads of the process too. */
export function collectSeldom(): void {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);
  setFlagsFromString(WITHOUT_MEMORY_REDUCER);
}
