/** What a user's code has thrown, in one line, with its place in the file. */
import { messageOf } from '../core/errors.js';

/** The name that the module goes by in stack traces. */
export const MODULE_NAME = 'headrace-transform.mjs';

const PLACE = new RegExp(`${MODULE_NAME.replaceAll('.', '\\.')}:(\\d+):(\\d+)`);
/** What a module is imported by: the whole of it, which no message needs. */
const DATA_URL = /data:text\/javascript;base64,[\w+/=]*/g;

/** Never throws, whatever it is. */
export function describeThrown(thrown: unknown): string {
  try {
    const message = messageOf(thrown).replace(DATA_URL, 'it').split('\n', 1)[0];
    const place = thrown instanceof Error ? PLACE.exec(thrown.stack ?? '') : null;
    return place === null ? message : `${message} (line ${place[1]}, column ${place[2]})`;
  } catch {
    return 'it threw what cannot be shown';
  }
}
