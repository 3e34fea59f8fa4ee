/** The reference of the configuration as Markdown, from the schema: what docs/configuration.md holds. A test keeps the two equal. */
import { configSchema } from './schema.js';

interface SchemaNode {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: SchemaNode | boolean;
  readonly anyOf?: readonly SchemaNode[];
  readonly items?: SchemaNode;
  readonly minimum?: number;
  readonly maximum?: number;
  /** Set by the schema: `size` or `duration`. */
  readonly kind?: string;
}

const INTRODUCTION = `# Configuration

One YAML file describes a run: \`headrace serve headrace.yaml\`. A program may pass the same as an object: \`openPipeline({sources: …})\`.
Every key but \`sources\` has a default. Unknown keys are errors, and name the nearest known one.

- Sizes are numbers of bytes, or text such as \`64MiB\` (B, kB, MB, GB, TB, KiB, MiB, GiB, TiB). Durations are numbers of milliseconds, or text such as \`20s\` (ms, s, m, h).
- \`\${NAME}\` in any text is replaced by the environment's value, which must be set; \`$\${\` stands for a literal \`\${\`.
- Relative paths start at the configuration file's directory, in an object at the working directory; \`~/\` is the home directory.

This page is generated from the schema (\`npm run docs\`).

| key | type | default | meaning |
| --- | --- | --- | --- |
`;

export function configurationReference(): string {
  const schema = configSchema.toJSONSchema({ io: 'input', unrepresentable: 'any' }) as SchemaNode;
  return `${INTRODUCTION}${rowsOf(schema, '').join('\n')}\n`;
}

function rowsOf(node: SchemaNode, path: string): string[] {
  return Object.entries(node.properties ?? {}).flatMap(([key, child]) => {
    const name = path === '' ? key : `${path}.${key}`;
    const nested = nestedOf(child);
    const required = node.required?.includes(key) === true;
    const own = isPlainObject(child) && child.description === undefined ? [] : [row(name, child, required)];
    return [...own, ...(nested === undefined ? [] : rowsOf(nested.node, `${name}${nested.suffix}`))];
  });
}

/** The object whose keys come below a key: its own, those of its records, of a list's items, or of a union's branch. */
function nestedOf(node: SchemaNode): { readonly node: SchemaNode; readonly suffix: string } | undefined {
  if (node.properties !== undefined) return { node, suffix: '' };
  const { additionalProperties } = node;
  if (typeof additionalProperties === 'object') return { node: additionalProperties, suffix: '.NAME' };
  if (node.items?.properties !== undefined) return { node: node.items, suffix: '[]' };
  const branch = node.anyOf?.find((option) => option.properties !== undefined);
  return branch && { node: branch, suffix: '' };
}

function isPlainObject(node: SchemaNode): boolean {
  return node.properties !== undefined;
}

function row(name: string, node: SchemaNode, required: boolean): string {
  const description = (node.description ?? '').replaceAll('|', '\\|').replaceAll('\n', ' ');
  return `| \`${name}\` | ${typeOf(node)} | ${required ? '**required**' : defaultOf(node)} | ${description} |`;
}

function typeOf(node: SchemaNode): string {
  if (node.kind !== undefined) return node.kind;
  if (node.const !== undefined) return `\`${JSON.stringify(node.const)}\``;
  if (node.enum !== undefined) return node.enum.map((value) => `\`${String(value)}\``).join(' or ');
  if (node.anyOf !== undefined) return [...new Set(node.anyOf.map(typeOf))].join(' or ');
  if (node.type === 'array') return `list of ${node.items === undefined ? 'anything' : typeOf(node.items)}`;
  if (node.type === 'object') return 'map';
  const bounded = node.type === 'integer' && node.minimum !== undefined && node.maximum !== undefined;
  return bounded ? `integer, ${node.minimum} to ${node.maximum}` : String(node.type);
}

function defaultOf(node: SchemaNode): string {
  if (node.default === undefined || typeof node.default === 'object') return '';
  return `\`${JSON.stringify(node.default).replaceAll('"', '')}\``;
}
