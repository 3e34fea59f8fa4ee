/** Passes over the messages of an Arrow object for whoever wants them; what cannot be read is said by its URI. */
import { HeadraceError, messageOf } from '../../core/errors.js';
import type { ObjectInfo, Store } from '../../store/store.js';
import { visitMessages, type ArrowVisitor } from './messages.js';
import { ArrowMetadataError, ArrowUnsupported } from './metadata.js';

/** Answers SHA-256 (hex) of all metadata. Errors: those of `Store.read`, and of the visitor, `SHARD_INVALID`, `SHARD_UNSUPPORTED`. */
export async function visitArrow(store: Store, object: ObjectInfo, visitor: ArrowVisitor, signal: AbortSignal): Promise<string> {
  const uri = store.uri + object.path;
  try {
    return await visitMessages({ store, path: object.path, etag: object.etag }, object.size, visitor, signal);
  } catch (error) {
    if (error instanceof ArrowMetadataError) {
      throw new HeadraceError('SHARD_INVALID', `${uri} is not a readable Arrow file: ${messageOf(error)}`, {
        detail: { uri },
        hint: 'Write the file again, or take it out of the source.',
        cause: error,
      });
    }
    if (!(error instanceof ArrowUnsupported)) throw error;
    throw new HeadraceError('SHARD_UNSUPPORTED', `${uri} cannot be read: ${error.message}`, {
      detail: { uri },
      hint: 'Write it anew with pyarrow, from columns of strings, or of lists of integers.',
    });
  }
}
