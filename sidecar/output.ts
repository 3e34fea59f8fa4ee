/** What becomes of lines that cannot be written: of standard output an error at the end of the command, where somebody would have read them. */
import { HeadraceError } from '../src/core/errors.js';

/**
 * From the start of a command on. Without it, Node ends the process in the midst of its work, with a stack trace. A reader that has gone (`| head`) has what it
 * wanted, and the work of a command is not only for it: a sidecar whose ready line nobody reads serves all the same.
 */
export function watchOutput(): { readonly check: () => Promise<void> } {
  let failed: NodeJS.ErrnoException | undefined;
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') failed ??= error;
  });
  process.stderr.on('error', () => undefined); // there is nowhere left to tell of it
  return {
    /** At the end. Errors: `OUTPUT_FAILED`. */
    check: async () => {
      await new Promise(setImmediate); // errors are told a moment after their writes
      if (failed === undefined) return;
      throw new HeadraceError('OUTPUT_FAILED', 'what the command prints could not be written', {
        hint: 'Is the disk full that it is written to? What the command does beside printing was done.',
        cause: failed,
      });
    },
  };
}
