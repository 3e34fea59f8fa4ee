/** What a configuration's `text: json.caption` means: a member of each sample, and a path in its JSON; or several, of which the first that a sample has is taken. */
import { HeadraceError } from '../../core/errors.js';
import { declaredType, type FieldRequest, type FieldType } from '../../core/fields.js';
import { columnsOf, type Filter } from '../../core/filter/filter.js';
import type { ColumnRequest } from '../decoder.js';

export interface MemberChoice {
  /** In lower case; `KEY_MEMBER`: the sample's key. */
  readonly member: string;
  /** Of the value inside the member's JSON; `undefined`: the member itself. */
  readonly field: readonly string[] | undefined;
  /** What the member is. */
  readonly form: 'bytes' | 'json' | 'npy';
}

/** `text`: the member as it is, or a path in its JSON. `value`: of a member of JSON its value, with or without a path. `tokens`: arrays. */
type Use = 'text' | 'tokens' | 'value';

/** As webdataset calls the key of a sample. */
export const KEY_MEMBER = '__key__';

export const JSON_ENDINGS = new Set(['json', 'jsn']);
/** What webdataset's decoder makes text of, and what else is read by people. */
const TEXT_ENDINGS = new Set(['txt', 'text', 'transcript', 'caption', ...JSON_ENDINGS]);
/** What webdataset's decoder makes integers of, by its code and its documentation. */
const INTEGER_ENDINGS = new Set(['cls', 'cls2', 'class', 'count', 'index', 'inx', 'id']);

/**
 * `txt`, `json.caption`, `meta.json.a.b`: the first part that says JSON ends the name of the member. `jpg;png;jpeg`, as webdataset has it: the first of
 * these that a sample has. Never empty. Errors: `COLUMN_TYPE`.
 */
export function memberChoices(column: string, use: Use): readonly MemberChoice[] {
  const names = column
    .split(';')
    .map((name) => name.trim())
    .filter((name) => name !== '');
  return (names.length === 0 ? [column] : names).map((name) => memberChoice(name, use));
}

function memberChoice(name: string, use: Use): MemberChoice {
  const parts = name.split('.');
  const json = parts.findIndex((part) => JSON_ENDINGS.has(part.toLowerCase()));
  const member = (json < 0 ? name : parts.slice(0, json + 1).join('.')).toLowerCase();
  const field = json < 0 || json === parts.length - 1 ? undefined : parts.slice(json + 1);
  if (use === 'text') return { member, field, form: field === undefined ? 'bytes' : 'json' };
  if (json >= 0) return { member, field: field ?? [], form: 'json' };
  if (use === 'value') return { member, field: undefined, form: 'bytes' };
  if (endingOf(member) === 'npy') return { member, field: undefined, form: 'npy' };
  throw new HeadraceError('COLUMN_TYPE', `the member ${name} of a tar cannot be tokens`, {
    detail: { column: name },
    hint: 'Tokens are a member that ends in `npy`, or an array in a member of JSON, such as `json.input_ids`.',
  });
}

/** Where the values of a field are. */
export function fieldMembers(column: string): readonly MemberChoice[] {
  return memberChoices(column, 'text').map((choice) => (isNpy(choice) ? { ...choice, form: 'npy' } : choice));
}

/**
 * What a field is, by the names of its members: an archive does not say what is in them. Errors: `COLUMN_TYPE`, where several members are of several types,
 * or where a list has no size.
 */
export function typeOfField(request: FieldRequest): FieldType {
  const { name, column } = request;
  const choices = fieldMembers(column);
  const types = new Set(choices.map((choice) => naturalType(choice)));
  const [natural] = types;
  if (request.type === undefined && types.size > 1) {
    throw new HeadraceError('COLUMN_TYPE', `the members ${column} of the field ${name} are ${[...types].join(' and ')}`, {
      detail: { field: name, column },
      hint: `Say what they are served as: ${name}: {column: "${column}", type: bytes}.`,
    });
  }
  if (request.type === undefined && request.size === undefined && choices.some(({ form }) => form === 'npy')) {
    throw new HeadraceError('COLUMN_TYPE', `the field ${name} is an array (${column}), and nothing says of how many numbers`, {
      detail: { field: name, column },
      hint: `Say it: ${name}: {column: ${column}, size: 512}; of another type than float32 that too: type: int64. Of one number: type: float32, without a size.`,
    });
  }
  return declaredType({ ...request, type: request.type ?? natural });
}

/** What a member is without being told more, by its name. */
export function typeOfMember(member: string): 'text' | 'bytes' | 'int64' | 'array' {
  return isNpy({ member, field: undefined, form: 'bytes' })
    ? 'array'
    : (naturalType({ member, field: undefined, form: 'bytes' }) as 'text' | 'bytes' | 'int64');
}

/** Arrays are what models take: as float32, whatever float they are stored as. */
function naturalType({ member, field, form }: MemberChoice): 'text' | 'bytes' | 'int64' | 'float32' {
  if (member === KEY_MEMBER || field !== undefined) return 'text';
  if (form === 'npy') return 'float32';
  const ending = endingOf(member);
  return TEXT_ENDINGS.has(ending) ? 'text' : INTEGER_ENDINGS.has(ending) ? 'int64' : 'bytes';
}

function isNpy({ member, field }: MemberChoice): boolean {
  return field === undefined && endingOf(member) === 'npy';
}

export function endingOf(member: string): string {
  return member.slice(member.lastIndexOf('.') + 1);
}

/** What each sample must have, by the name that the configuration has for it: a shard in which no sample has it is not meant. Errors: `COLUMN_TYPE`. */
export function requiredMembers({ column, kind, fields = [] }: ColumnRequest): { readonly column: string; readonly members: string[] }[] {
  const use = kind === 'records' ? 'value' : kind;
  return [
    // of records there may be none that each sample must have
    ...(use === 'none' || column === '' ? [] : [{ column, choices: memberChoices(column, use) }]),
    ...fields
      .filter(({ isOptional }) => isOptional !== true)
      .map((field) => ({ column: field.column, choices: fieldMembers(field.column) })),
  ].map(({ column: name, choices }) => ({ column: name, members: membersOf(choices) }));
}

/** Members that are read of each sample, `options.members` included. Errors: `COLUMN_TYPE`. */
export function wantedMembers(request: ColumnRequest, filter: Filter | undefined): string[] {
  const { id, columns = [], fields = [], options } = request;
  const { members = [] } = options ?? {};
  const named = [...(id === undefined ? [] : [id]), ...columns, ...(filter === undefined ? [] : columnsOf(filter))];
  const others = Array.isArray(members) ? members.map((member) => String(member).toLowerCase()) : [];
  const wanted = [
    ...requiredMembers({ ...request, fields: [] }).flatMap((required) => required.members),
    ...fields.flatMap((field) => membersOf(fieldMembers(field.column))),
    ...named.flatMap((column) => membersOf(memberChoices(column, 'text'))),
    ...others,
  ];
  return [...new Set(wanted)].filter((member) => member !== KEY_MEMBER);
}

export function membersOf(choices: readonly MemberChoice[]): string[] {
  return [...new Set(choices.map(({ member }) => member))];
}
