/** The module of a transform, imported from its text in a worker: it may use what Node has built in, and nothing that lies beside it. */
import { LIMITS } from '../config/limits.js';
import { HeadraceError } from '../core/errors.js';
import { invalidTransform, tooSlowToLoad } from './invalid.js';
import { describeThrown, MODULE_NAME } from './thrown.js';
import type { TransformFunction, TransformSettings } from './transform.js';

const UNRESOLVED = 'ERR_UNSUPPORTED_RESOLVE_REQUEST';
const SPECIFIER = /module specifier "([^"]*)"/;

/** Errors: `TRANSFORM_INVALID`. */
export async function loadTransform({ file, code }: Pick<TransformSettings, 'file' | 'code'>): Promise<TransformFunction> {
  // the mark is on a line of its own behind all others, so that these keep their numbers
  const bytes = Buffer.from(`${code}\n//# sourceURL=${MODULE_NAME}\n`);
  const url = `data:text/javascript;base64,${bytes.toString('base64')}`;
  let exported: { readonly default?: unknown };
  try {
    exported = await inTime(import(url) as Promise<typeof exported>, file);
  } catch (error) {
    if (error instanceof HeadraceError) throw error;
    const imported = unresolvedImport(error);
    if (imported !== undefined) {
      throw invalidTransform(file, `imports ${imported}, and can import nothing but what Node has built in`, {
        hint: 'A transform is one file: bundle what it needs into it (esbuild --bundle --format=esm). What Node has built in is imported as node:….',
        cause: error,
      });
    }
    throw invalidTransform(file, `cannot be loaded: ${describeThrown(error)}`, {
      hint: 'It must be an ES module that Node can import: `node --check FILE` shows the place of a wrong character.',
      cause: error,
    });
  }
  const transform = exported.default;
  if (transform === undefined) throw invalidTransform(file, 'has no default export', { hint: EXAMPLE });
  if (typeof transform !== 'function')
    throw invalidTransform(file, `has a default export that is no function but ${typeof transform}`, { hint: EXAMPLE });
  const kind = /^\[object (Async|Generator|AsyncGenerator)Function\]$/.exec(Object.prototype.toString.call(transform))?.[1];
  if (kind !== undefined) {
    throw invalidTransform(file, `exports ${kind === 'Generator' ? 'a generator' : 'an async'} function`, {
      hint: 'A transform answers at once, with a row, a list of rows, or null: it cannot wait for anything.',
    });
  }
  return transform as TransformFunction;
}

const EXAMPLE = 'Write `export default (row, ctx) => ({ text: row.text.trim() })`: see docs/transforms.md.';

/** What the module imports that lies beside it, or is a package; undefined: it failed by something else. */
function unresolvedImport(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || error.code !== UNRESOLVED) return undefined;
  return SPECIFIER.exec(error.message)?.[1] ?? 'another module';
}

/** A module that waits at its top level may wait for ever. */
async function inTime<T>(loading: Promise<T>, file: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(tooSlowToLoad([file])), LIMITS.transformMsMax);
  });
  try {
    return await Promise.race([loading, tooLate]);
  } finally {
    clearTimeout(timer);
  }
}
