/** What the samples of a slice have for a column: bytes of a member, or a value in its JSON; or why they have none. */
import { LIMITS } from '../../config/limits.js';
import type { JsonValue } from '../../core/canonical-json.js';
import { messageOf } from '../../core/errors.js';
import { JsonLineScanner } from '../lines/json-line.js';
import { booleanOfText, numberOfText, type RowValue } from '../value-columns.js';
import { KEY_MEMBER, type MemberChoice } from './member-choice.js';
import type { TarSamples } from './members.js';

/** A problem is in the middle of a sentence about the row. `missing`: the sample has none of the members; `bad`: what it has cannot be read. */
export type SampleValue =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array; readonly choice: MemberChoice }
  /** `undefined` where the path names nothing. */
  | { readonly kind: 'json'; readonly json: JsonValue | undefined; readonly bytes: Uint8Array; readonly choice: MemberChoice }
  | { readonly kind: 'missing'; readonly problem: string }
  | { readonly kind: 'bad'; readonly problem: string };

/** Of the first of the members that the sample has. */
export function sampleValue(samples: TarSamples, choices: readonly MemberChoice[], row: number): SampleValue {
  const problem = samples.problems.get(row);
  if (problem !== undefined) return { kind: 'bad', problem };
  for (const choice of choices) {
    const { member, form } = choice;
    if (member === KEY_MEMBER) return { kind: 'bytes', bytes: Buffer.from(samples.keys[row]), choice };
    const members = samples.members(member);
    const size = members.sizeAt(row);
    if (size === undefined) continue;
    const bytes = members.at(row);
    if (bytes === undefined || size > LIMITS.tarMemberBytesMax) {
      const which = `${member} (sample ${samples.keys[row]})`;
      return { kind: 'bad', problem: `has ${size} bytes in its member ${which}; at most ${LIMITS.tarMemberBytesMax} are decoded` };
    }
    return form === 'json' ? jsonValue(samples, choice, bytes, row) : { kind: 'bytes', bytes, choice };
  }
  return { kind: 'missing', problem: `has no member ${namesOf(choices)} (sample ${samples.keys[row]})` };
}

/** For messages: `jpg, png or webp`. */
function namesOf(choices: readonly MemberChoice[]): string {
  const names = [...new Set(choices.map(({ member }) => member))];
  return names.length === 1 ? names[0] : `${names.slice(0, -1).join(', ')} or ${names[names.length - 1]}`;
}

/** For messages: `json.caption (sample 17)`. */
export function placeOf({ keys }: TarSamples, { member, field = [] }: MemberChoice, row: number): string {
  return `${[member, ...field].join('.')} (sample ${keys[row]})`;
}

function jsonValue(samples: TarSamples, choice: MemberChoice, bytes: Uint8Array, row: number): SampleValue {
  try {
    let value: JsonValue | undefined = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')) as JsonValue;
    for (const name of choice.field ?? []) value = fieldOf(value, name);
    return { kind: 'json', json: value, bytes, choice };
  } catch (error) {
    const which = `${choice.member} (sample ${samples.keys[row]})`;
    return { kind: 'bad', problem: `has no valid JSON in its member ${which}: ${messageOf(error)}` };
  }
}

/** `undefined`: there is none. What an object inherits is no field. */
function fieldOf(value: JsonValue | undefined, name: string): JsonValue | undefined {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
  return (value as Readonly<Record<string, JsonValue>>)[name];
}

/** How the text of a member is read, where it stands for something else. */
export type TextAs = 'text' | 'number' | 'boolean';

/** The same for a field, or for a filter. `undefined`: the row has none. */
export function rowValue(value: SampleValue, as: TextAs): RowValue {
  switch (value.kind) {
    case 'missing':
      return undefined;
    case 'bad':
      return { kind: 'bad', problem: value.problem };
    case 'bytes':
      return as === 'text' ? value.bytes : valueOfText(value.bytes, as);
    case 'json':
      return Array.isArray(value.json) ? (value.json as readonly JsonValue[]).map(plainValue) : exactValue(value);
  }
}

/** As Python's `int` and `float` do, whatever space is around it. */
function valueOfText(bytes: Uint8Array, as: 'number' | 'boolean'): RowValue {
  if (bytes.length > LIMITS.numberBytesMax) return null;
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8').trim();
  return as === 'number' ? numberOfText(text) : booleanOfText(text);
}

/** What is in lists in lists is served as nothing. */
function plainValue(json: JsonValue | undefined): RowValue {
  return typeof json === 'object' && json !== null ? { kind: 'object' } : json;
}

const INTEGER = /^-?\d+$/;

/** An integer that a number does not hold by its digits. */
function exactValue({ json, bytes, choice }: Extract<SampleValue, { kind: 'json' }>): RowValue {
  if (typeof json !== 'number' || !Number.isInteger(json) || Number.isSafeInteger(json)) return plainValue(json);
  const place = new JsonLineScanner((choice.field ?? []).join('.')).find(bytes, 0, bytes.length);
  if (place.kind !== 'number' || place.end - place.start > LIMITS.numberBytesMax) return json;
  const digits = Buffer.from(bytes.buffer, bytes.byteOffset + place.start, place.end - place.start).toString('latin1');
  return INTEGER.test(digits) ? BigInt(digits) : json;
}
