/** The leaves of litData's samples: what `data_format` calls them, and how their bytes are to be read. Pure. */
import * as z from 'zod';
import { DTYPES, integerOf, integerSchema } from '../integers.js';
import { STORED_DTYPES, type StoredDtype } from '../stored-numbers.js';

/** Numbers that a list may hold. */
export interface ListItem {
  readonly name: string;
  /** `undefined` of floating-point numbers and others. */
  readonly integer: ReturnType<typeof integerOf> | undefined;
  /** `undefined` of complex numbers and others that nobody else has. */
  readonly dtype: StoredDtype | undefined;
}

export type LeafType =
  /** The bytes as they were given: text is UTF-8. */
  | { readonly kind: 'text' | 'bytes' }
  | { readonly kind: 'number'; readonly dtype: 'int64' | 'float64' | 'uint8' }
  /** A list of one dimension, without a header. */
  | { readonly kind: 'list'; readonly of: 'tensor' | 'numpy'; readonly item: ListItem }
  /** A header with type and shape, then the numbers. */
  | { readonly kind: 'array'; readonly of: 'tensor' | 'numpy' }
  /** A list or an object in a form of litData's own, or as JSON. */
  | { readonly kind: 'nested' }
  | { readonly kind: 'refused'; readonly why: string };

export interface Leaf {
  readonly name: string;
  /** The same apart: keys, and positions as numbers. */
  readonly path: LeafPath;
  /** As `data_format` has it. */
  readonly format: string;
  readonly type: LeafType;
  /** Of nested values that are lists: of what, as far as the index says it. */
  readonly listOf: 'int' | 'float' | 'bool' | undefined;
}

export type LeafPath = readonly (string | number)[];

/** What litData writes for a type of torch, by number. Source: `litdata/constants.py`, `_TORCH_DTYPES_MAPPING`. */
const TORCH_TYPES = [
  ...['float32', 'float32', 'float64', 'float64', 'complex64', 'complex64', 'complex128', 'complex128', 'float16', 'float16'],
  ...['bfloat16', 'uint8', 'int8', 'int16', 'int16', 'int32', 'int32', 'int64', 'int64', 'bool', 'uint16'],
];

/** The same of NumPy: `_NUMPY_SCTYPES`. */
const NUMPY_TYPES = [
  ...['int8', 'int16', 'int32', 'int64', 'uint8', 'uint16', 'uint32', 'uint64', 'float16', 'float32', 'float64'],
  ...['complex64', 'complex128', 'bool'],
];

export function listItem(of: 'tensor' | 'numpy', code: number): ListItem | undefined {
  const name = (of === 'tensor' ? TORCH_TYPES : NUMPY_TYPES).at(code);
  if (name === undefined || code < 0) return undefined;
  const integer = DTYPES.find((dtype) => dtype === name);
  // a truth is a byte, 0 or 1
  const dtype = name === 'bool' ? 'uint8' : STORED_DTYPES.find((own) => own === name);
  return { name, integer: integer && integerOf(integer), dtype };
}

/** Files, encoded images and the like: their bytes are those of the file. */
const FILES = ['bytes', 'file', 'jpeg', 'png', 'image', 'tiff', 'tifffile', 'video', 'audio', 'pdf', 'mesh', 'nifti'];

export function leafTypeOf(format: string): LeafType {
  const [name, detail = ''] = format.split(':', 2);
  if (name === 'str' || name === 'string' || name === 'text') return { kind: 'text' };
  if (FILES.includes(name)) return { kind: 'bytes' };
  switch (name) {
    case 'int':
      return { kind: 'number', dtype: 'int64' };
    case 'float':
      return { kind: 'number', dtype: 'float64' };
    case 'bool':
    case 'boolean':
      return { kind: 'number', dtype: 'uint8' };
    case 'no_header_tensor':
    case 'no_header_numpy': {
      const of = name === 'no_header_tensor' ? 'tensor' : 'numpy';
      const item = /^\d+$/.test(detail) ? listItem(of, Number(detail)) : undefined;
      return item === undefined ? { kind: 'refused', why: `is a ${of} of a type ${detail} that is not known` } : { kind: 'list', of, item };
    }
    case 'tensor':
    case 'numpy':
      return { kind: 'array', of: name };
    case 'json':
      return { kind: 'nested' };
    case 'pickle':
      return { kind: 'refused', why: 'is pickled: to read it would be to run what it says' };
    case 'pil':
      return { kind: 'refused', why: 'is an image without an encoding (`pil`), which only Pillow has a use for' };
    default:
      return { kind: 'refused', why: `is of a serializer (${name}) that is not known` };
  }
}

const nodeSchema = z.object({
  type: z.string().nullable(),
  /** JSON once more: the keys of a dict. */
  context: z.unknown(),
  get children_spec() {
    return z.array(nodeSchema);
  },
});

type Node = z.output<typeof nodeSchema>;

/** What a sample that is one value goes by. */
export const BARE_NAME = 'value';

/** Nested deeper than any sample: a spec that is, is damage. */
const DEPTH_MAX = 64;

/** Where the leaves are, in their order: by keys of dicts, and positions in tuples and lists. Throws `Error`, `SyntaxError`, `ZodError`. */
export function leafPaths(dataSpec: string): LeafPath[] {
  const [protocol, tree] = z.tuple([z.number(), z.unknown()]).parse(JSON.parse(dataSpec));
  if (protocol !== 1) throw new Error(`its data_spec has version ${protocol}, and 1 is read`);
  return pathsBelow(nodeSchema.parse(tree), [], 0);
}

export function nameOfPath(path: LeafPath): string {
  return path.length === 0 ? BARE_NAME : path.join('.');
}

function pathsBelow({ type, context, children_spec: children }: Node, path: LeafPath, depth: number): LeafPath[] {
  if (type === null) return [path];
  if (depth > DEPTH_MAX) throw new Error(`its data_spec is nested more than ${DEPTH_MAX} times`);
  const keys = keysOf(context);
  return children.flatMap((child, i) => pathsBelow(child, [...path, keys?.length === children.length ? String(keys[i]) : i], depth + 1));
}

/** Of a dict, or one of its kin; `undefined`: positions are all that there is. */
function keysOf(context: unknown): readonly unknown[] | undefined {
  const value: unknown = typeof context === 'string' ? parsed(context) : context;
  if (Array.isArray(value)) return value as readonly unknown[];
  const { dict_context: keys } = Object(value) as Readonly<Record<string, unknown>>;
  return Array.isArray(keys) ? (keys as readonly unknown[]) : undefined;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the name of a type
  }
}

/** How a worker reads a leaf as text or tokens. Plain JSON. */
export const leafFormSchema = z.discriminatedUnion('form', [
  z.object({ form: z.literal('bytes') }),
  z.object({ form: z.literal('list'), item: integerSchema }),
  z.object({ form: z.literal('array'), of: z.enum(['tensor', 'numpy']) }),
  z.object({ form: z.literal('nested') }),
]);

export type LeafForm = Readonly<z.output<typeof leafFormSchema>>;

/** `undefined`: it cannot be used so. */
export function formOf({ type, format }: Pick<Leaf, 'type' | 'format'>, use: 'text' | 'tokens'): LeafForm | undefined {
  if (use === 'text') return type.kind === 'text' || /^(bytes|file)\b/.test(format) ? { form: 'bytes' } : undefined;
  switch (type.kind) {
    case 'list':
      return type.item.integer && { form: 'list', item: type.item.integer };
    case 'array':
      return { form: 'array', of: type.of };
    case 'nested':
      return { form: 'nested' };
    default:
      return undefined;
  }
}

/** What a source may well use it as. */
export function useOf({ type, listOf }: Leaf): 'text' | 'tokens' | undefined {
  if (type.kind === 'text') return 'text';
  const isTokens = type.kind === 'list' ? type.item.integer !== undefined : type.kind === 'nested' && listOf === 'int';
  return isTokens ? 'tokens' : undefined;
}
