/** Loads a configuration: YAML or an object in, a checked `Config` with absolute paths and no open question out. */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { parseDocument } from 'yaml';
import type * as z from 'zod';
import type { JsonValue } from '../core/canonical-json.js';
import { HeadraceError, messageOf } from '../core/errors.js';
import type { FieldRequest, SourceKind } from '../core/fields.js';
import { COLUMNLESS_FORMATS, formatOfPath, type FormatName } from '../core/format.js';
import type { Filter } from '../core/filter/filter.js';
import type { Packing } from '../core/packing.js';
import { sameVariable, variableName } from '../core/variable-name.js';
import { issueLines } from './issues.js';
import { LIMITS } from './limits.js';
import { configSchema, type ConfigInput, type ParsedConfig } from './schema.js';

export interface SourceConfig {
  readonly name: string;
  /** Absolute paths or URIs, at least one. */
  readonly uris: readonly string[];
  /** Where the index of its shards is; `undefined`: they are listed, and read. */
  readonly index: string | undefined;
  /** `undefined`: what the names of the shards say. */
  readonly format: FormatName | undefined;
  /** '' where there is none. */
  readonly column: string;
  readonly kind: SourceKind;
  /** `column` holds token ids, alone or in records: nothing is tokenized. */
  readonly hasIds: boolean;
  /** Whether its samples, or sequences, have tokens. */
  readonly servesTokens: boolean;
  /** Of records: all columns that are read. */
  readonly columns: readonly string[] | undefined;
  /** Of records whose `column` has chat messages. */
  readonly chat: ChatConfig | undefined;
  /** Absolute path or URI of the module that makes rows of rows; `undefined`: they are as they are. */
  readonly transform: string | undefined;
  /** What samples carry, in order of name; `undefined`: nothing. */
  readonly fields: readonly FieldRequest[] | undefined;
  /** The column of the documents' ids. */
  readonly id: string | undefined;
  /** What else the format is told of how to read its objects; `undefined`: nothing. */
  readonly options: Readonly<Record<string, JsonValue>> | undefined;
  /** Absolute paths or URIs of lists of documents. */
  readonly exclude: readonly string[];
  /** When what a shard holds is found. */
  readonly scan: 'ahead' | 'as-read';
  /** Which documents are taken, in canonical form; `undefined`: all. */
  readonly where: Filter | undefined;
  readonly weight: number;
  /** `undefined`: for ever. */
  readonly epochs: number | undefined;
  readonly maxTokens: number | undefined;
  readonly whenUsedUp: 'drop' | 'stop' | 'repeat';
}

export interface ChatConfig {
  /** Jinja text, or an absolute path or URI of it; `undefined`: the tokenizer's own. */
  readonly template: string | undefined;
  readonly loss: 'assistant' | 'all';
}

/** See `MixtureChange`. */
export interface WeightChange {
  readonly at: number;
  readonly weights: Readonly<Record<string, number>>;
  readonly ramp: number;
}

export interface TokenizerConfig {
  readonly file: string;
  readonly append: 'eos' | 'none';
  readonly eos: string | undefined;
  readonly invalidUtf8: 'error' | 'replace';
  readonly specialTokens: 'plain' | 'match';
}

/** Of remote shards: those that the run will read again, all, or none. */
export type KeptRanges = 'again' | 'all' | 'none';

/** A checked configuration. Sources are in order of name. */
export interface Config {
  readonly seed: number;
  readonly sources: readonly SourceConfig[];
  /** Scheduled changes of weights. */
  readonly mixture: readonly WeightChange[];
  readonly tokenizer: TokenizerConfig | undefined;
  readonly sequence: { readonly length: number; readonly packing: Packing; readonly padId: number | undefined };
  /** `undefined`: file order. */
  readonly shuffle: { readonly blocks: number; readonly windowBytes: number } | undefined;
  readonly batch: { readonly size: number; readonly lanes: number };
  readonly last: 'drop' | 'pad';
  /** Where the lengths of a run that ends are; `undefined`: every sidecar computes all lanes. */
  readonly lengths: string | undefined;
  /** A share of the documents that is held out of training. */
  readonly validation: { readonly share: number; readonly by: 'id' | 'row'; readonly seed: number } | undefined;
  readonly storage: ParsedConfig['storage'];
  readonly cacheDir: string;
  /** Of byte ranges and tokens. `undefined`: neither is kept. */
  readonly localCache:
    { readonly ranges: KeptRanges; readonly tokens: boolean; readonly bytesMax: number; readonly fsync: 'never' | 'data' } | undefined;
  readonly badRows: 'fail' | 'skip';
  /** Shared by the machines of the run. */
  readonly runDir: string | undefined;
  /** Where the steps that are made are written down. */
  readonly ledgerDir: string | undefined;
  readonly badBlocks: 'fail' | 'skip';
  readonly serve: {
    readonly address: string | undefined;
    readonly metrics: string | undefined;
    readonly leaseMs: number;
    readonly graceMs: number;
  };
  readonly limits: { readonly workers: number | undefined; readonly fetchBytesMax: number };
}

/** Reads and checks a YAML file. Relative paths in it start at its directory. Errors: `CONFIG_NOT_FOUND`, `CONFIG_INVALID`. */
export async function loadConfig(file: string): Promise<Config> {
  const absolute = path.resolve(file);
  let text: string;
  try {
    text = await readFile(absolute, 'utf8');
  } catch (error) {
    throw new HeadraceError('CONFIG_NOT_FOUND', `cannot read the configuration ${absolute}`, {
      detail: { file: absolute },
      hint: 'Check the path; the file must be readable by this user.',
      cause: error,
    });
  }
  const document = parseDocument(text, { prettyErrors: true });
  const problem = document.errors.at(0);
  if (problem !== undefined) {
    throw invalid(`${absolute} is not valid YAML: ${problem.message}`, { file: absolute });
  }
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    throw invalid(`${absolute} is not valid YAML: ${messageOf(error)}`, { file: absolute });
  }
  return parseConfig(value, path.dirname(absolute));
}

/** Checks a configuration object. Relative paths start at `baseDir` (default: the working directory). Errors: `CONFIG_INVALID`. */
export function parseConfig(input: unknown, baseDir: string = process.cwd()): Config {
  const parsed = configSchema.safeParse(expandEnvironment(input, ''), { reportInput: true });
  if (!parsed.success) throw issuesError(parsed.error.issues);
  return resolveConfig(parsed.data, baseDir);
}

/** Checks the storage of a configuration by itself. Errors: `CONFIG_INVALID`. */
export function parseStorage(input: unknown = {}): ParsedConfig['storage'] {
  const parsed = configSchema.shape.storage.safeParse(expandEnvironment(input, 'storage'), { reportInput: true });
  if (!parsed.success) throw issuesError(parsed.error.issues.map((issue) => ({ ...issue, path: ['storage', ...issue.path] })));
  return parsed.data;
}

export type { ConfigInput };

function resolveConfig(parsed: ParsedConfig, baseDir: string): Config {
  const sequence = sequenceOf(parsed.sequence);
  const isSamples = sequence.packing === 'samples';
  const sources = Object.entries(parsed.sources)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, source]): SourceConfig => ({
      name,
      uris: [source.uri].flat().map((uri) => absoluteUri(uri, baseDir)),
      index: source.index === undefined ? undefined : absoluteUri(source.index, baseDir),
      format: source.format,
      ...(isColumnless(name, source) ? ofArray(source, sequence) : ofColumn(source, isSamples, parsed.sequence === 'none')),
      chat:
        source.messages === undefined ? undefined : { template: templateOf(source.template, baseDir), loss: source.loss ?? 'assistant' },
      transform: source.transform === undefined ? undefined : transformOf(name, source.transform, baseDir),
      fields: fieldsOf(source.fields),
      id: source.id,
      exclude: [source.exclude ?? []].flat().map((uri) => absoluteUri(uri, baseDir)),
      scan: source.scan,
      where: source.where,
      weight: source.weight,
      epochs: source.whenUsedUp === 'repeat' ? undefined : (source.epochs ?? parsed.epochs),
      maxTokens: source.maxTokens,
      whenUsedUp: source.whenUsedUp,
    }));
  checkFields(parsed, sources, isSamples);
  for (const source of sources) checkVariables(source);
  checkScans(parsed, sources);
  const untokenized = sources.find(({ servesTokens, hasIds }) => servesTokens && !hasIds);
  if (parsed.tokenizer === undefined && untokenized !== undefined) {
    throw invalid(
      `sources.${untokenized.name} has text, so tokenizer.file is needed (if it has token ids, name their column in \`tokens\`, or set \`format\` to ${COLUMNLESS_FORMATS.join(' or ')})`,
      { field: 'tokenizer.file' },
    );
  }
  checkMixture(parsed);
  const nameless = sources.find((source) => source.id === undefined);
  if (parsed.validation?.by === 'id' && nameless !== undefined) {
    const field = `sources.${nameless.name}.id`;
    throw invalid(`validation.by is id, so ${field} is needed`, { field });
  }
  const lanes = parsed.batch.lanes ?? largestDivisor(parsed.batch.size, LIMITS.lanesDefault);
  if (parsed.batch.size % lanes !== 0) {
    throw invalid(`batch.lanes (${lanes}) does not divide batch.size (${parsed.batch.size})`, { field: 'batch.lanes' });
  }
  const tokenizer = parsed.tokenizer;
  return {
    seed: parsed.seed,
    sources,
    mixture: parsed.mixture,
    tokenizer: tokenizer && { ...tokenizer, file: absoluteUri(tokenizer.file, baseDir), eos: tokenizer.eos },
    sequence: {
      // a sample without tokens counts as one
      length: sources.every(({ servesTokens }) => !servesTokens) ? 1 : sequence.length,
      packing: packingOf(sequence, sources),
      padId: sequence.padId,
    },
    shuffle: parsed.shuffle === false ? undefined : parsed.shuffle,
    batch: { size: parsed.batch.size, lanes },
    last: parsed.last,
    lengths: parsed.lengths === undefined ? undefined : absoluteUri(parsed.lengths, baseDir),
    validation: parsed.validation,
    storage: parsed.storage,
    cacheDir: absolutePath(parsed.cache.dir, baseDir),
    localCache: localCacheOf(parsed.cache),
    badRows: parsed.badRows,
    runDir: parsed.run.dir === undefined ? undefined : absolutePath(parsed.run.dir, baseDir),
    ledgerDir: parsed.ledger === undefined ? undefined : ledgerDirOf(parsed.ledger, baseDir),
    badBlocks: parsed.badBlocks,
    serve: {
      address: parsed.serve.address === undefined ? undefined : absoluteAddress(parsed.serve.address, baseDir),
      metrics: parsed.serve.metrics,
      leaseMs: parsed.serve.lease,
      graceMs: parsed.serve.grace,
    },
    limits: { workers: parsed.limits.workers, fetchBytesMax: parsed.limits.fetchBytes },
  };
}

/** Only what a source says, so that sources without it are as they were. */
function optionsOf({ csv, lines, array }: ParsedConfig['sources'][string]): SourceConfig['options'] {
  const options: Record<string, JsonValue> = {
    ...(csv !== undefined && { csv: Object.fromEntries(Object.entries(csv).filter(([, value]) => value !== undefined)) }),
    ...(lines && { lines }),
    ...(array?.dtype !== undefined && { array: { dtype: array.dtype } }),
  };
  return Object.keys(options).length === 0 ? undefined : options;
}

type ParsedSource = ParsedConfig['sources'][string];

const TEXT_COLUMN = 'text';

/** Errors: `CONFIG_INVALID`. */
function transformOf(name: string, transform: string, baseDir: string): string {
  if (/\.m?js$/.test(transform)) return absoluteUri(transform, baseDir);
  const field = `sources.${name}.transform`;
  throw new HeadraceError('CONFIG_INVALID', `${field} is ${transform}, and a transform is an ES module: a file that ends in .js or .mjs`, {
    detail: { field },
    hint: /\.[cm]?tsx?$/.test(transform)
      ? 'TypeScript is not run as it is: compile it (tsc), or bundle it (esbuild --bundle --format=esm).'
      : 'docs/transforms.md has examples.',
  });
}

/** Samples may have neither text nor tokens. `fieldsOnly`: none has. */
function ofColumn(source: ParsedSource, isSamples: boolean, fieldsOnly: boolean): ColumnFacts {
  const { text, tokens, messages, transform, columns = [] } = source;
  const own = { hasIds: tokens !== undefined, options: optionsOf(source), columns: undefined };
  if (fieldsOnly && messages === undefined && tokens === undefined && text === undefined) {
    const none = { ...own, column: '', servesTokens: false };
    return transform === undefined || columns.length === 0
      ? { ...none, kind: 'none' }
      : { ...none, kind: 'records', columns: [...new Set(columns)] };
  }
  // ids alone are read as they always are, whatever a transform makes of them: as values of records they would cost several times as much
  const hasRecords = messages !== undefined || (transform !== undefined && (tokens === undefined || columns.length > 0));
  const column = messages ?? tokens ?? text ?? (isSamples && transform === undefined ? '' : TEXT_COLUMN);
  if (hasRecords) return { ...own, column, kind: 'records', servesTokens: true, columns: [...new Set([column, ...columns])] };
  return { ...own, column, kind: tokens !== undefined ? 'tokens' : column === '' ? 'none' : 'text', servesTokens: column !== '' };
}

type ColumnFacts = Pick<SourceConfig, 'column' | 'kind' | 'hasIds' | 'servesTokens' | 'columns' | 'options'>;

/** With `packing: none` only whole rows fit. */
function ofArray({ array }: ParsedSource, { length, packing }: SequenceConfig): ColumnFacts {
  const given = Object.fromEntries(Object.entries(array ?? {}).filter(([, value]) => value !== undefined));
  const options = { rowTokens: length, wholeRows: packing === 'none', ...given };
  return { column: '', kind: 'tokens', hasIds: true, servesTokens: true, columns: undefined, options };
}

/** Whether the shards hold token ids and nothing else, as far as the configuration says. Errors: `CONFIG_INVALID` where it says so, and names columns. */
function isColumnless(name: string, { uri, format, array, text, tokens, messages, columns, id }: ParsedSource): boolean {
  const formats = format === undefined ? [uri].flat().map(formatOfPath) : [format];
  const columnless = formats.every((own) => own !== undefined && COLUMNLESS_FORMATS.includes(own));
  const field = `sources.${name}.array`;
  if (array !== undefined && formats.every((own) => own === 'mds')) {
    const [other] = Object.entries(array).find(([key, value]) => key !== 'dtype' && value !== undefined) ?? [];
    if (other === undefined) return false;
    throw invalid(`${field}.${other} is for files of token ids (${COLUMNLESS_FORMATS.join(', ')}); of MDS only ${field}.dtype is read`, {
      field: `${field}.${other}`,
    });
  }
  if (!columnless && array === undefined) return false;
  if (!columnless && formats.some((own) => own !== undefined && !COLUMNLESS_FORMATS.includes(own))) {
    throw invalid(`${field} is for files of token ids (${COLUMNLESS_FORMATS.join(', ')}), and sources.${name} has another format`, {
      field,
    });
  }
  const [key] = Object.entries({ text, tokens, messages, columns, id }).find(([, value]) => value !== undefined) ?? [];
  if (key === undefined) return true;
  throw invalid(
    `sources.${name}.${key} names a column, and files of token ids (${COLUMNLESS_FORMATS.join(', ')}) have none: leave it out`,
    {
      field: `sources.${name}.${key}`,
    },
  );
}

type SequenceConfig = Exclude<ParsedConfig['sequence'], 'none'>;

function sequenceOf(sequence: ParsedConfig['sequence']): SequenceConfig {
  return sequence === 'none' ? { length: 1, packing: 'samples' } : sequence;
}

function fieldsOf(fields: ParsedConfig['sources'][string]['fields']): SourceConfig['fields'] {
  if (fields === undefined || Object.keys(fields).length === 0) return undefined;
  return Object.entries(fields)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, field]) =>
      typeof field === 'string'
        ? { name, column: field, size: undefined, type: undefined }
        : { name, column: field.column, size: field.size, type: field.type, ...(field.missing === null && { isOptional: true }) },
    );
}

/** Samples have the same in every source: names here, types when the shards are known. */
function checkFields({ sequence }: ParsedConfig, sources: readonly SourceConfig[], isSamples: boolean): void {
  const [first] = sources;
  const namesOf = ({ fields = [] }: SourceConfig): string =>
    fields.map(({ name, isOptional }) => (isOptional ? `${name} or null` : name)).join(', ');
  const sized = sources.flatMap(({ name, fields = [] }) => fields.map((field) => ({ source: name, ...field })));
  for (const { source, name, size, type } of sized) {
    if (size === undefined || (type !== 'text' && type !== 'bytes')) continue;
    const field = `sources.${source}.fields.${name}.size`;
    throw invalid(`${field} is for lists of numbers, and ${type} is none`, { field });
  }
  const tokensOf = ({ servesTokens }: SourceConfig): string => (servesTokens ? 'tokens' : 'no tokens');
  for (const source of sources) {
    const at = `sources.${source.name}`;
    if (!isSamples) {
      if (source.fields === undefined) continue;
      const field = `${at}.fields`;
      throw new HeadraceError('CONFIG_INVALID', `${field} are of samples, and sequences are packed (${packingName(sequence)})`, {
        detail: { field },
        hint: 'A packed sequence has several rows, and parts of rows, so that no one value of a field is its own. Set `sequence: {packing: samples, length: 77}`, which gives each row a sequence to itself, or `sequence: none` for fields alone; `segments` say the shard and row of all that is packed.',
      });
    }
    if (sequence === 'none' && source.servesTokens) {
      const what = madeOf(source);
      throw invalid(`${at} has ${what}, and sequence is none; for tokens beside fields set sequence: {packing: samples, length: 77}`, {
        field: `${at}.${what}`,
      });
    }
    if (!source.servesTokens && source.fields === undefined) {
      throw invalid(`${at} has neither fields nor text nor tokens, so that its samples are empty`, { field: `${at}.fields` });
    }
    if (source.maxTokens !== undefined) {
      throw invalid(`${at}.maxTokens counts tokens, and the sources of samples are counted in samples; use epochs`, {
        field: `${at}.maxTokens`,
      });
    }
    if (namesOf(source) !== namesOf(first) || tokensOf(source) !== tokensOf(first)) {
      throw invalid(
        `sources of samples have the same fields: ${first.name} has ${tokensOf(first)} and the fields [${namesOf(first)}], ${source.name} has ${tokensOf(source)} and [${namesOf(source)}]`,
        { field: `${at}.fields` },
      );
    }
  }
}

function packingName(sequence: ParsedConfig['sequence']): string {
  return sequence === 'none' ? sequence : `packing: ${sequence.packing}`;
}

/** The key that says what a source's tokens are made of. */
function madeOf({ chat, hasIds }: SourceConfig): 'messages' | 'tokens' | 'text' {
  return chat !== undefined ? 'messages' : hasIds ? 'tokens' : 'text';
}

/** What names totals needs them at the start. */
function checkScans({ lengths }: ParsedConfig, sources: readonly SourceConfig[]): void {
  const scanned = sources.find(({ scan }) => scan === 'as-read');
  if (scanned === undefined) return;
  const field = `sources.${scanned.name}.scan`;
  if (lengths !== undefined) {
    throw new HeadraceError('CONFIG_INVALID', `${field} is as-read, and lengths are of windows that are known at the start`, {
      detail: { field },
      hint: 'Leave `lengths` out: each sidecar then computes all lanes; or set `scan: ahead`, and write an index and lengths before the run.',
    });
  }
  const indexed = sources.find(({ scan, index }) => scan === 'as-read' && index !== undefined);
  if (indexed === undefined) return;
  throw new HeadraceError('CONFIG_INVALID', `sources.${indexed.name} has an index, which says what all shards hold, and scan is as-read`, {
    detail: { field: `sources.${indexed.name}.scan` },
    hint: 'Leave `scan` out: with an index nothing is passed over before the first batch. The stream is another one then.',
  });
}

/** A row has one value of a name; what a chat is rendered from is always `messages`. */
function checkVariables({ name, column, columns = [], chat, servesTokens, fields = [] }: SourceConfig): void {
  const field = `sources.${name}.columns`;
  const hidden = servesTokens ? undefined : columns.find((own) => fields.some((one) => one.name === variableName(own)));
  if (hidden !== undefined) {
    const what = `${hidden} is ${variableName(hidden)} to a transform, which has the field of that name`;
    throw invalid(`${field}: ${what}; leave one of them out`, { field, column: hidden });
  }
  const same = sameVariable(column, columns);
  if (same !== undefined) {
    throw invalid(
      `${field}: ${same.columns.join(' and ')} are both ${same.name} to a template or a transform, which have columns by the last parts of their names; name one of them, or write the value under another name`,
      { field, columns: same.columns.join(', ') },
    );
  }
  const messages = chat && columns.find((own) => own !== column && variableName(own) === 'messages');
  if (messages === undefined) return;
  throw invalid(`${field}: ${messages} is messages to a template, which has the messages of ${column} by that name`, { field });
}

/** Names that exist, and after each change a weight above 0. */
function checkMixture({ sources, mixture }: ParsedConfig): void {
  let weights: Readonly<Record<string, number>> = Object.fromEntries(Object.entries(sources).map(([name, { weight }]) => [name, weight]));
  for (const [index, change] of [...mixture.entries()].toSorted(([, a], [, b]) => a.at - b.at)) {
    const unknown = Object.keys(change.weights).find((name) => !(name in sources));
    if (unknown !== undefined) {
      throw invalid(`mixture.${index}.weights names ${unknown}, and there is no such source`, {
        field: `mixture.${index}.weights.${unknown}`,
      });
    }
    weights = { ...weights, ...change.weights };
    if (Object.values(weights).every((weight) => weight === 0)) {
      throw invalid(`mixture.${index}: after step ${change.at} no source has a weight above 0`, { field: `mixture.${index}.weights` });
    }
  }
}

function packingOf({ packing: kind, length, packingTokens, long }: SequenceConfig, sources: readonly SourceConfig[]): Packing {
  if (packingTokens !== undefined && kind !== 'best-fit') {
    throw invalid(`sequence.packingTokens is the size of a group of packing: best-fit, and packing is ${kind}`, {
      field: 'sequence.packingTokens',
    });
  }
  if (long !== undefined && kind !== 'pad') {
    throw invalid(`sequence.long is for packing: pad, and packing is ${kind}`, { field: 'sequence.long' });
  }
  switch (kind) {
    case 'concat':
    case 'samples':
      return { kind };
    case 'best-fit':
      return { kind, groupTokens: packingTokens ?? Math.min(LIMITS.packingSequencesDefault * length, LIMITS.packingTokensMax) };
    case 'pad':
      return { kind, long: long ?? 'split' };
    case 'none': {
      const text = sources.find((source) => !source.hasIds);
      if (text === undefined) return { kind };
      throw invalid(
        `sequence.packing is none, which passes rows of exactly ${length} ids through, and sources.${text.name} has text: documents of text have any number of tokens`,
        { field: 'sequence.packing' },
      );
    }
  }
}

/** What has a tag in it is the template itself. */
function templateOf(template: string | undefined, baseDir: string): string | undefined {
  return template === undefined || isInlineTemplate(template) ? template : absoluteUri(template, baseDir);
}

export function isInlineTemplate(template: string): boolean {
  return /\{[{%]/.test(template);
}

function localCacheOf({ ranges, tokens, size, fsync }: ParsedConfig['cache']): Config['localCache'] {
  if (size === 0 || (ranges === false && !tokens)) return undefined;
  return { ranges: ranges === 'auto' ? 'again' : ranges ? 'all' : 'none', tokens, bytesMax: size, fsync };
}

function largestDivisor(value: number, divisorMax: number): number {
  for (let divisor = Math.min(value, divisorMax); divisor > 1; divisor--) {
    if (value % divisor === 0) return divisor;
  }
  return 1;
}

/** Stores are read only. */
function ledgerDirOf(ledger: string, baseDir: string): string {
  const [scheme] = /^[a-z][a-z0-9+.-]*:\/\//i.exec(ledger) ?? [];
  if (scheme === undefined) return absolutePath(ledger, baseDir);
  if (scheme.toLowerCase() === 'file://') return absolutePath(ledger.slice(scheme.length), baseDir);
  throw new HeadraceError('CONFIG_INVALID', `ledger cannot be written to a store (${scheme}…): headrace writes files only`, {
    detail: { field: 'ledger' },
    hint: 'Name a directory of this machine or a shared one, and copy its segments to a store when they are complete.',
  });
}

/** `~` is the home directory. Paths keep a trailing slash, which says "everything below". */
function absolutePath(file: string, baseDir: string): string {
  const home = file === '~' || file.startsWith('~/') ? homedir() + file.slice(1) : file;
  const resolved = path.resolve(baseDir, home);
  return home.endsWith('/') && resolved !== '/' ? `${resolved}/` : resolved;
}

/** A URI as it is; a path from `baseDir` on. */
export function absoluteUri(uri: string, baseDir: string = process.cwd()): string {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(uri) ? uri : absolutePath(uri, baseDir);
}

function absoluteAddress(address: string, baseDir: string): string {
  return address.startsWith('ipc://') ? `ipc://${absolutePath(address.slice('ipc://'.length), baseDir)}` : address;
}

/** Replaces `${NAME}` in every string by the environment's value; `$${` stands for a literal `${`. */
function expandEnvironment(value: unknown, field: string): unknown {
  if (typeof value === 'string') {
    return value.replace(/\$?\$\{([^}]*)\}/g, (match, name: string) => {
      if (match.startsWith('$$')) return match.slice(1);
      const replacement = process.env[name];
      if (replacement !== undefined) return replacement;
      throw invalid(`${field} uses \${${name}}, which is not set in the environment`, { field });
    });
  }
  if (Array.isArray(value)) return value.map((item, index) => expandEnvironment(item, `${field}[${index}]`));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, expandEnvironment(item, field === '' ? key : `${field}.${key}`)]),
  );
}

function issuesError(issues: readonly z.core.$ZodIssue[]): HeadraceError {
  const lines = issues.flatMap(issueLines);
  const [first] = lines;
  return invalid(lines.map((line) => line.text).join('; '), { field: first.field });
}

function invalid(message: string, detail: Record<string, string>): HeadraceError {
  return new HeadraceError('CONFIG_INVALID', message, { detail, hint: 'docs/configuration.md lists every key.' });
}
