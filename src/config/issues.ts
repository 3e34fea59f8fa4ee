/** What the schema says of a wrong configuration, in the words of who wrote it. */
import type * as z from 'zod';
import { nearestNames } from '../core/nearest-name.js';
import { configSchema } from './schema.js';

/** A sentence about one key. */
export interface IssueLine {
  readonly field: string;
  readonly text: string;
}

/** The issues are of a parse with `reportInput`. */
export function issueLines(issue: z.core.$ZodIssue): IssueLine[] {
  if (issue.code === 'invalid_union') {
    const deepest = issue.errors.toSorted((a, b) => depth(b) - depth(a)).at(0);
    if (deepest !== undefined && depth(deepest) > 0) {
      return deepest.flatMap((inner) => issueLines({ ...inner, path: [...issue.path, ...inner.path] }));
    }
  }
  const field = issue.path.map(String).join('.');
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => {
      const near = nearestNames(key, keysAt(issue.path));
      const name = field === '' ? key : `${field}.${key}`;
      return { field: name, text: `unknown key ${name}${didYouMean(near)}` };
    });
  }
  const name = field === '' ? 'the configuration' : field;
  const expected = expectedBy(issue);
  if (expected.length === 0) return [{ field, text: `${name}: ${issue.message}` }];
  const wanted = anyOf(expected);
  if (issue.input === undefined) return [{ field, text: `${name} is missing: expected ${wanted}` }];
  const near = typeof issue.input === 'string' ? nearestNames(issue.input, namesOf(issue)) : [];
  return [{ field, text: `${name}: expected ${wanted}, but it is ${shown(issue.input)}${didYouMean(near)}` }];
}

function didYouMean(near: readonly string[]): string {
  return near.length === 0 ? '' : ` (did you mean ${near.join(' or ')}?)`;
}

/** What could stand there instead; none where the issue's own message says it. */
function expectedBy(issue: z.core.$ZodIssue): string[] {
  switch (issue.code) {
    case 'invalid_union': {
      const each = issue.errors.map((inner) => inner.flatMap(expectedBy));
      return each.every((own) => own.length > 0) ? [...new Set(each.flat())] : [];
    }
    case 'invalid_type':
      return [typeInWords(issue.expected, issue.path)];
    case 'invalid_value':
      return namesOf(issue);
    case 'too_small':
      return issue.origin === 'number' || issue.origin === 'int'
        ? [`a number ${issue.inclusive === true ? 'of at least' : 'above'} ${issue.minimum}`]
        : [];
    case 'too_big':
      return issue.origin === 'number' || issue.origin === 'int'
        ? [`a number ${issue.inclusive === true ? 'of at most' : 'below'} ${issue.maximum}`]
        : [];
    default:
      return [];
  }
}

function typeInWords(expected: string, issuePath: readonly PropertyKey[]): string {
  switch (expected) {
    case 'object': {
      const keys = keysAt(issuePath);
      return keys.length > 0 && keys.length <= NAMED_KEYS_MAX ? `a map (${keys.join(', ')})` : 'a map';
    }
    case 'record':
      return 'a map';
    case 'array':
      return 'a list';
    case 'string':
      return 'text';
    case 'int':
      return 'a whole number';
    case 'boolean':
      return 'true or false';
    default:
      return `a ${expected}`;
  }
}

/** More are looked up. */
const NAMED_KEYS_MAX = 8;

function namesOf(issue: z.core.$ZodIssue): string[] {
  if (issue.code === 'invalid_union') return issue.errors.flat().flatMap(namesOf);
  return issue.code === 'invalid_value' ? issue.values.map(String) : [];
}

function anyOf(names: readonly string[]): string {
  return names.length < 2 ? names.join() : `${names.slice(0, -1).join(', ')} or ${names[names.length - 1]}`;
}

/** Of longer texts the beginning. */
const SHOWN_CHARACTERS_MAX = 40;

function shown(input: unknown): string {
  if (input === null) return 'empty';
  if (Array.isArray(input)) return 'a list';
  if (typeof input === 'object') return 'a map';
  if (typeof input === 'number' || typeof input === 'boolean' || typeof input === 'bigint') return String(input);
  if (typeof input !== 'string') return `a ${typeof input}`;
  return `the text ${JSON.stringify(input.length > SHOWN_CHARACTERS_MAX ? `${input.slice(0, SHOWN_CHARACTERS_MAX)}…` : input)}`;
}

/** How far below its own place the issues of a union's branch lie: the deepest branch is the one that was meant. */
function depth(issues: readonly z.core.$ZodIssue[]): number {
  return Math.max(0, ...issues.map((issue) => issue.path.length + (issue.code === 'unrecognized_keys' ? 1 : 0)));
}

/** The keys that the schema knows at a path, found in its JSON form so that wrappers (defaults, unions, records) need no cases here. */
function keysAt(issuePath: readonly PropertyKey[]): string[] {
  const start: JsonSchemaNode = configSchema.toJSONSchema({ io: 'input', unrepresentable: 'any' });
  let nodes: JsonSchemaNode[] = [start];
  for (const step of issuePath) {
    nodes = nodes.flatMap(branches).flatMap((node) => childOf(node, String(step)));
  }
  return nodes.flatMap(branches).flatMap((node) => Object.keys(node.properties ?? {}));
}

interface JsonSchemaNode {
  readonly properties?: Readonly<Record<string, unknown>>;
  readonly additionalProperties?: unknown;
  readonly anyOf?: readonly unknown[];
}

function branches(node: JsonSchemaNode): JsonSchemaNode[] {
  return node.anyOf === undefined ? [node] : node.anyOf.filter(isNode).flatMap(branches);
}

function childOf(node: JsonSchemaNode, key: string): JsonSchemaNode[] {
  return [node.properties?.[key] ?? node.additionalProperties].filter(isNode);
}

function isNode(value: unknown): value is JsonSchemaNode {
  return typeof value === 'object' && value !== null;
}
