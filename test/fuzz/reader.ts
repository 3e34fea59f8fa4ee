/** Keeps a reader process, gives it one file after the other, and says so where it ends or does not answer. */
import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { FuzzRequest, ReadOutcome, ReadTask } from './reader-process.js';

export type { FuzzRequest, ReadOutcome, ReadTask };

export type Outcome =
  ReadOutcome | { readonly kind: 'crashed'; readonly message: string } | { readonly kind: 'hung'; readonly message: string };

const PROCESS = fileURLToPath(new URL('../../dist/test/fuzz/reader-process.js', import.meta.url));
/** A file of some hundred KiB is read in a tenth of a second; a busy machine takes ten times as long. */
const DEADLINE_MS = 30_000;
/** What fills the heap ends the process, instead of the machine. */
const HEAP_MEBIBYTES = 1024;

export class Reader {
  #child: ChildProcess | undefined;

  async read(task: ReadTask): Promise<Outcome> {
    const child = (this.#child ??= fork(PROCESS, { serialization: 'advanced', execArgv: [`--max-old-space-size=${HEAP_MEBIBYTES}`] }));
    let timer: NodeJS.Timeout | undefined;
    const outcome = await new Promise<Outcome>((resolve) => {
      child.once('message', (message) => resolve(message as ReadOutcome));
      child.once('exit', (code, signal) => resolve({ kind: 'crashed', message: `the process ended with ${signal ?? code ?? 'nothing'}` }));
      timer = setTimeout(() => resolve({ kind: 'hung', message: `no answer in ${DEADLINE_MS} ms` }), DEADLINE_MS);
      child.send(task);
    });
    clearTimeout(timer);
    child.removeAllListeners();
    if (outcome.kind === 'hung' || outcome.kind === 'crashed') this.close();
    return outcome;
  }

  close(): void {
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }
}
