/** The worker's half of the WebDataset decoder: stretches of a tar in, rows out. */
import { LIMITS } from '../../config/limits.js';
import { messageOf } from '../../core/errors.js';
import type { DocumentIds, Rows } from '../decoder.js';
import type { EncodedTarSlice } from './encoded-slice.js';
import { KEY_MEMBER, memberChoice, type MemberChoice } from './member-choice.js';
import { decodeTarMembers, type TarSamples } from './members.js';
import { readNpyTokens } from './npy.js';

/** Errors: `SHARD_INVALID`. */
export function decodeTarSlice(slice: EncodedTarSlice): Rows {
  const { column, kind } = slice.choice;
  const choice = memberChoice(column, kind);
  const samples = decodeTarMembers(slice, [choice.member]);
  return kind === 'text' ? textRows(samples, choice) : tokenRows(samples, choice);
}

/** Errors: `SHARD_INVALID`. */
export function decodeTarIds(slice: EncodedTarSlice): DocumentIds {
  const choice = memberChoice(slice.choice.id ?? KEY_MEMBER, 'text');
  if (choice.member === KEY_MEMBER) return decodeTarMembers(slice, []).keys;
  const samples = decodeTarMembers(slice, [choice.member]);
  return Array.from({ length: samples.count }, (_, row) => {
    const value = valueOf(samples, choice, row);
    if ('problem' in value) return null;
    if (value.bytes !== undefined) return Buffer.from(value.bytes.buffer, value.bytes.byteOffset, value.bytes.length).toString('utf8');
    return typeof value.json === 'string' || Number.isSafeInteger(value.json) ? String(value.json) : null;
  });
}

/** What a row's member is, or a field of it; a problem is in the middle of a sentence about the row. */
type MemberValue =
  | { readonly bytes: Uint8Array; readonly json?: undefined }
  | { readonly json: unknown; readonly bytes?: undefined }
  | { readonly problem: string };

function valueOf(samples: TarSamples, { member, field, form }: MemberChoice, row: number): MemberValue {
  const problem = samples.problems.get(row);
  if (problem !== undefined) return { problem };
  if (member === KEY_MEMBER) return { bytes: Buffer.from(samples.keys[row]) };
  const members = samples.members(member);
  const bytes = members.at(row);
  const size = members.sizeAt(row);
  const which = `${member} (sample ${samples.keys[row]})`;
  if (size === undefined) return { problem: `has no member ${which}` };
  if (bytes === undefined || size > LIMITS.tarMemberBytesMax) {
    return { problem: `has ${size} bytes in its member ${which}; at most ${LIMITS.tarMemberBytesMax} are decoded` };
  }
  if (form !== 'json') return { bytes };
  try {
    let value: unknown = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8'));
    for (const name of field ?? []) value = fieldOf(value, name);
    return { json: value };
  } catch (error) {
    return { problem: `has no valid JSON in its member ${which}: ${messageOf(error)}` };
  }
}

/** `undefined`: there is none. What an object inherits is no field. */
function fieldOf(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
  return (value as Readonly<Record<string, unknown>>)[name];
}

function textRows(samples: TarSamples, choice: MemberChoice): Rows {
  const { count } = samples;
  const problems = new Map<number, string>();
  const texts: Uint8Array[] = [];
  const bounds = new Int32Array(count + 1);
  for (let row = 0; row < count; row++) {
    const text = textOf(valueOf(samples, choice, row), samples, choice, row);
    if (typeof text === 'string') problems.set(row, text);
    else texts.push(text);
    bounds[row + 1] = bounds[row] + (typeof text === 'string' ? 0 : text.length);
  }
  const bytes = new Uint8Array(bounds[count]);
  let at = 0;
  for (const text of texts) {
    bytes.set(text, at);
    at += text.length;
  }
  return { kind: 'text', count, bounds, bytes, ...invalidRows(count, problems) };
}

/** Half of a character beyond U+FFFF: a string of JSON may have one, and UTF-8 has none. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/** A text's UTF-8, or what is wrong with the row. */
function textOf(value: MemberValue, { keys }: TarSamples, { member, field = [] }: MemberChoice, row: number): Uint8Array | string {
  if ('problem' in value) return value.problem;
  if (value.bytes !== undefined) return value.bytes;
  const { json } = value;
  const which = `${[member, ...field].join('.')} (sample ${keys[row]})`;
  if (json === undefined || json === null) return `has no ${which}`;
  if (typeof json !== 'string') return `has ${nameOfType(json)} in ${which}, and no text`;
  if (LONE_SURROGATE.test(json)) return `has half a character in ${which}`;
  return Buffer.from(json);
}

function tokenRows(samples: TarSamples, choice: MemberChoice): Rows {
  const { count } = samples;
  const problems = new Map<number, string>();
  const lists: Int32Array[] = [];
  const bounds = new Int32Array(count + 1);
  for (let row = 0; row < count; row++) {
    const tokens = tokensOf(valueOf(samples, choice, row), samples, choice, row);
    if (typeof tokens === 'string') problems.set(row, tokens);
    else lists.push(tokens);
    bounds[row + 1] = bounds[row] + (typeof tokens === 'string' ? 0 : tokens.length);
  }
  const ids = new Int32Array(bounds[count]);
  let at = 0;
  for (const list of lists) {
    ids.set(list, at);
    at += list.length;
  }
  return { kind: 'tokens', count, bounds, ids, idsBelow: undefined, ...invalidRows(count, problems) };
}

/** A row's ids, or what is wrong with it. */
function tokensOf(value: MemberValue, { keys }: TarSamples, { member, field = [] }: MemberChoice, row: number): Int32Array | string {
  if ('problem' in value) return value.problem;
  const which = `${[member, ...field].join('.')} (sample ${keys[row]})`;
  if (value.bytes !== undefined) {
    const tokens = readNpyTokens(value.bytes);
    return 'ids' in tokens ? tokens.ids : `has a member ${which} that ${tokens.problem}`;
  }
  const { json } = value;
  if (json === undefined || json === null) return `has no ${which}`;
  if (!Array.isArray(json)) return `has ${nameOfType(json)} in ${which}, and no array`;
  if (!json.every(Number.isSafeInteger)) return `has an array in ${which} that is not of whole numbers`;
  // what is no int32 is −1, which no vocabulary has
  return Int32Array.from(json as readonly number[], (id) => (id >= 0 && id < 2 ** 31 ? id : -1));
}

function nameOfType(json: unknown): string {
  if (Array.isArray(json)) return 'an array';
  return typeof json === 'object' ? 'an object' : `a ${typeof json}`;
}

function invalidRows(count: number, problems: ReadonlyMap<number, string>): Pick<Rows, 'valid' | 'problems'> {
  if (problems.size === 0) return { valid: undefined };
  const valid = new Uint8Array(count).fill(1);
  for (const row of problems.keys()) valid[row] = 0;
  return { valid, problems };
}
