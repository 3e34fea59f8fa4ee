/** What a configuration's `text: json.caption` means: a member of each sample, and a field of its JSON. */
import { HeadraceError } from '../../core/errors.js';
import type { PlainRequest } from '../decoder.js';

export interface MemberChoice {
  /** In lower case; `KEY_MEMBER`: the sample's key. */
  readonly member: string;
  /** Of the value inside the member's JSON; `undefined`: the member itself. */
  readonly field: readonly string[] | undefined;
  /** What the member is. */
  readonly form: 'bytes' | 'json' | 'npy';
}

/** As webdataset calls the key of a sample. */
export const KEY_MEMBER = '__key__';

const JSON_ENDINGS = new Set(['json', 'jsn']);

/**
 * `txt`, `json.caption`, `meta.json.a.b`, `input_ids.npy`: the first part that says JSON ends the name of the member. Text without a field is the member as
 * it is; tokens are arrays. Errors: `COLUMN_TYPE`.
 */
export function memberChoice(column: string, kind: 'text' | 'tokens'): MemberChoice {
  const parts = column.split('.');
  const json = parts.findIndex((part) => JSON_ENDINGS.has(part.toLowerCase()));
  const member = (json < 0 ? column : parts.slice(0, json + 1).join('.')).toLowerCase();
  const field = json < 0 || json === parts.length - 1 ? undefined : parts.slice(json + 1);
  if (kind === 'text') return { member, field, form: field === undefined ? 'bytes' : 'json' };
  if (json >= 0) return { member, field: field ?? [], form: 'json' };
  if (parts[parts.length - 1].toLowerCase() === 'npy') return { member, field: undefined, form: 'npy' };
  throw new HeadraceError('COLUMN_TYPE', `the member ${column} of a tar cannot be tokens`, {
    detail: { column },
    hint: 'Tokens are a member that ends in `npy`, or an array in a member of JSON, such as `json.input_ids`.',
  });
}

/** Members that are read of each sample, those beside the column's and the ids' included (`options.members`). Errors: `COLUMN_TYPE`. */
export function wantedMembers({ column, kind, id, options }: PlainRequest): string[] {
  const { members = [] } = options ?? {};
  const others = Array.isArray(members) ? members.map((member) => String(member).toLowerCase()) : [];
  const named = [memberChoice(column, kind).member, ...(id === undefined ? [] : [memberChoice(id, 'text').member]), ...others];
  return [...new Set(named)].filter((member) => member !== KEY_MEMBER);
}
