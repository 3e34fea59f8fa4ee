/** The error of a transform's module that cannot be used. */
import { LIMITS } from '../config/limits.js';
import { HeadraceError } from '../core/errors.js';

/** `file`: for messages. */
export function invalidTransform(
  file: string,
  problem: string,
  options: { readonly hint: string; readonly cause?: unknown },
): HeadraceError {
  return new HeadraceError('TRANSFORM_INVALID', `the transform ${file} ${problem}`, { detail: { file }, ...options });
}

/** Of modules that are still not loaded. */
export function tooSlowToLoad(files: readonly string[]): HeadraceError {
  return invalidTransform(files.join(', '), `is not loaded after ${LIMITS.transformMsMax / 1000} s`, {
    hint: 'What a module does at its top level must end: is there an endless loop, or an await of something that never comes?',
  });
}
