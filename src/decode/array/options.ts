/** What a source says of its arrays of token ids, beside what they say themselves. */
import * as z from 'zod';
import { HeadraceError } from '../../core/errors.js';
import type { PlainRequest } from '../decoder.js';
import { DTYPES } from '../integers.js';

const optionsSchema = z.object({
  dtype: z.enum(DTYPES).optional(),
  /** Bytes before the first id; left out: none, or those of a header that is known. */
  header: z.int().min(0).optional(),
  /** The last id of each document. */
  eosId: z.int().min(0).optional(),
  /** Ids in a row of a stream without documents. */
  rowTokens: z.int().min(1),
  /** What is left at the end of a stream, and is no whole row, is left out. */
  wholeRows: z.boolean(),
});

export type ArrayOptions = Readonly<z.output<typeof optionsSchema>>;

/** Errors: `COLUMN_TYPE` where the source expects text, or columns. */
export function arrayOptionsOf({ kind, column, options }: PlainRequest, uri: string, format: string): ArrayOptions {
  if (kind === 'tokens' && column === '' && options !== undefined) return optionsSchema.parse(options);
  throw noColumns(uri, format);
}

/** The objects of a format hold token ids, and nothing has a name in them. Errors: `COLUMN_TYPE`. */
export function expectTokensOnly({ kind, column }: PlainRequest, uri: string, format: string): void {
  if (kind !== 'tokens' || column !== '') throw noColumns(uri, format);
}

function noColumns(uri: string, format: string): HeadraceError {
  return new HeadraceError('COLUMN_TYPE', `${uri} holds token ids (${format}): it has no text, and no columns`, {
    detail: { uri, format },
    hint: `Set \`format: ${format}\` in the source, and leave \`text\` and \`tokens\` out.`,
  });
}
