/** Which value of litData's samples a source means, and how it is read. Pure. */
import { HeadraceError } from '../../core/errors.js';
import { nearestNames } from '../../core/nearest-name.js';
import type { IntegerType } from '../integers.js';
import type { LitdataSet } from './data-set.js';
import type { LitdataColumn, LitdataId } from './layout.js';
import { BARE_NAME, formOf, type Leaf } from './leaf.js';
import { litdataUnsupported } from './litdata-error.js';

export type ColumnUse = 'text' | 'tokens';

/** A sample that is one value has no names: it also goes by what it is used as. Errors: `COLUMN_MISSING`. */
export function findLeaf(set: LitdataSet, column: string, uri: string, use?: ColumnUse): number {
  const { leaves } = set;
  const isBare = leaves.length === 1 && leaves[0].name === BARE_NAME;
  const leaf = isBare && column === use ? 0 : leaves.findIndex(({ name }) => name === column);
  if (leaf >= 0) return leaf;
  throw missingColumn(set, column, uri);
}

export function missingColumn({ leaves }: LitdataSet, column: string, uri: string): HeadraceError {
  const names = leaves.map(({ name }) => name);
  const near = nearestNames(column, names);
  return new HeadraceError('COLUMN_MISSING', `the samples of ${uri} have no ${column}`, {
    detail: { uri, column, columns: names.slice(0, 50).join(', ') },
    hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `They have ${names.slice(0, 20).join(', ')}.`,
  });
}

/** Errors: `COLUMN_MISSING`, `COLUMN_TYPE`, `SHARD_UNSUPPORTED`. */
export function columnOf(set: LitdataSet, column: string, use: ColumnUse, uri: string): LitdataColumn {
  const leaf = findLeaf(set, column, uri, use);
  const found = set.leaves[leaf];
  const form = formOf(found, use);
  if (form === undefined) throw wrongType(found, use, uri);
  return { name: found.name, leaf, form };
}

/** Of items that are token ids. Errors: as of `columnOf`. */
export function tokensOf(set: LitdataSet, column: string, use: ColumnUse, uri: string): IntegerType {
  const leaf = set.leaves[findLeaf(set, column, uri, use)];
  if (set.leaves.length !== 1 || leaf.type.kind !== 'list') {
    throw litdataUnsupported(
      uri,
      `its loader is that of tokens, and its samples are ${leaf.format}`,
      'Write one list of token ids a sample.',
    );
  }
  if (use === 'text' || leaf.type.item.integer === undefined) throw wrongType(leaf, use, uri);
  return leaf.type.item.integer;
}

/** Errors: as of `columnOf`. */
export function idOf(set: LitdataSet, column: string, uri: string): LitdataId {
  const leaf = findLeaf(set, column, uri);
  const found = set.leaves[leaf];
  const { type } = found;
  if (type.kind === 'text') return { leaf, isInteger: false };
  if (type.kind === 'number' && type.dtype === 'int64') return { leaf, isInteger: true };
  throw wrongType(found, 'id', uri);
}

/** Errors: `SHARD_UNSUPPORTED`, where nothing reads the leaf. */
export function checkReadable({ name, type }: Leaf, uri: string): void {
  if (type.kind !== 'refused') return;
  throw litdataUnsupported(
    uri,
    `${name} ${type.why}`,
    'Write text as str, numbers as int, float, a tensor or an array, and files as bytes. Other values of the samples can be read.',
  );
}

function wrongType(leaf: Leaf, use: ColumnUse | 'id', uri: string): HeadraceError {
  checkReadable(leaf, uri);
  const { name, format } = leaf;
  const expected = { text: 'text', tokens: 'a list of integers', id: 'text or an integer' }[use];
  return new HeadraceError('COLUMN_TYPE', `${name} of ${uri} is ${format}, not ${expected}`, {
    detail: { uri, column: name, type: format },
    hint: {
      text: 'Name a str in `text`, or token ids in `tokens`.',
      tokens: 'Name a tensor or an array of integers in `tokens`, or a str in `text`.',
      id: 'Name a str or an int in `id`.',
    }[use],
  });
}
