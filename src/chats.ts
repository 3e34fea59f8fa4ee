/** What sources of chats need beside their shards: their templates, and the tokenizer in the two forms that chats are tokenized with. */
import type { ChatSettings } from './chat/chat.js';
import { isInlineTemplate, type Config, type TokenizerConfig } from './config/config.js';
import { LIMITS } from './config/limits.js';
import { HeadraceError, messageOf } from './core/errors.js';
import { variableName } from './core/variable-name.js';
import { readWhole } from './store/read-whole.js';
import { shownUri } from './store/schemes.js';
import type { StoreSet } from './store/open-store.js';
import type { ChatTokenizerSettings } from './stream/messages.js';
import { readyTokenizer, type CompiledForms } from './tokenize/load-tokenizer.js';
import type { PreparedTokenizer } from './tokenize/prepared.js';
import { spellingOf } from './tokenize/token-spelling.js';

export interface LoadedChats {
  readonly tokenizers: ChatTokenizerSettings;
  /** By name. */
  readonly bySource: ReadonlyMap<string, ChatSettings>;
}

interface ChatParts {
  /** The tokenizer of the run, as its configuration has it. */
  readonly own: PreparedTokenizer;
  readonly stores: StoreSet;
  readonly forms: CompiledForms | undefined;
}

/** What stands beside a tokenizer about chats. */
interface Neighbours {
  readonly templates: ReadonlyMap<string, string>;
  readonly specialTokens: Readonly<Record<string, string>>;
}

/** Tokens that templates may name. */
const SPECIAL_TOKENS = ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token'];

/** `undefined` where no source has chats. Errors: those of stores, `CONFIG_INVALID`, `TOKENIZER_INVALID`. */
export async function readChats(config: Config, { own, stores, forms }: ChatParts, signal?: AbortSignal): Promise<LoadedChats | undefined> {
  const { tokenizer } = config;
  if (tokenizer === undefined || !config.sources.some(({ chat }) => chat !== undefined)) return undefined;
  const file = shownUri(tokenizer.file);
  const opened = stores.open(tokenizer.file);
  const bytes = await readWhole(opened.store, opened.path, signal && { signal });
  const other = tokenizer.specialTokens === 'match' ? 'plain' : 'match';
  const ready = await readyTokenizer({ bytes, file, options: { specialTokens: other }, forms }, signal);
  const isMasked = config.sources.some(({ chat }) => chat?.loss === 'assistant');
  const spelling = isMasked ? spellingOf(ready) : undefined;
  if (isMasked && spelling === undefined) {
    throw new HeadraceError(
      'TOKENIZER_INVALID',
      `the tokens of ${file} do not say which text they stand for, so that no loss mask can be made`,
      {
        detail: { file },
        hint: 'Set `loss: all` for the sources of chats, or use a tokenizer with a BPE model.',
      },
    );
  }
  const controlTokens = (ready.json.added_tokens ?? []).filter(({ special }) => special).map(({ content }) => content);
  const neighbours = await readNeighbours(tokenizer, stores, signal);
  const bySource = new Map<string, ChatSettings>();
  for (const { name, column, columns = [], chat } of config.sources) {
    if (chat === undefined) continue;
    const template = await readTemplate(
      name,
      chat.template,
      { neighbours, hasTools: columns.map(variableName).includes('tools'), stores },
      signal,
    );
    await checkTemplate(name, template);
    bySource.set(name, { column, template, specialTokens: neighbours.specialTokens, controlTokens, loss: chat.loss });
  }
  const [matched, plain] = other === 'match' ? [ready.prepared, own] : [own, ready.prepared];
  return { tokenizers: { matched, plain, spelling }, bySource };
}

async function readTemplate(
  source: string,
  template: string | undefined,
  { neighbours, hasTools, stores }: { readonly neighbours: Neighbours; readonly hasTools: boolean; readonly stores: StoreSet },
  signal?: AbortSignal,
): Promise<string> {
  if (template !== undefined && isInlineTemplate(template)) return template;
  if (template !== undefined) {
    const { store, path } = stores.open(template);
    return Buffer.from(await readWhole(store, path, signal && { signal })).toString('utf8');
  }
  const { templates } = neighbours;
  const own = (hasTools ? templates.get('tool_use') : undefined) ?? templates.get('default');
  if (own !== undefined) return own;
  const names = [...templates.keys()].join(', ');
  throw new HeadraceError(
    'CONFIG_INVALID',
    `sources.${source} has messages, and the tokenizer has no chat template${names && ` but ${names}`}`,
    {
      detail: { field: `sources.${source}.template` },
      hint: 'Set sources.NAME.template, or put the chat_template.jinja or tokenizer_config.json of the model beside its tokenizer.json.',
    },
  );
}

async function checkTemplate(source: string, template: string): Promise<void> {
  const { compileTemplate } = await import('./chat/template.js'); // most runs have no chats, and need no Jinja
  try {
    if (template.length > LIMITS.templateLengthMax) throw new Error(`it has more than ${LIMITS.templateLengthMax} characters`);
    compileTemplate(template);
  } catch (error) {
    throw new HeadraceError('CONFIG_INVALID', `sources.${source}.template cannot be read: ${messageOf(error)}`, {
      detail: { field: `sources.${source}.template` },
      hint: 'It is a Jinja template, as transformers renders it.',
      cause: error,
    });
  }
}

/** A template of its own file comes before that of the configuration, as in transformers. */
async function readNeighbours({ file }: TokenizerConfig, stores: StoreSet, signal?: AbortSignal): Promise<Neighbours> {
  const { store, path } = stores.open(file);
  const read = async (name: string): Promise<string | undefined> => {
    const neighbour = path.slice(0, path.lastIndexOf('/') + 1) + name;
    try {
      return Buffer.from(await readWhole(store, neighbour, signal && { signal })).toString('utf8');
    } catch (error) {
      if (error instanceof HeadraceError && (error.code === 'STORE_NOT_FOUND' || error.code === 'STORE_DENIED')) return undefined;
      throw error;
    }
  };
  const [json, jinja] = await Promise.all([read('tokenizer_config.json'), read('chat_template.jinja')]);
  const config = json === undefined ? {} : parsedObject(json);
  const templates = templatesOf(config.chat_template);
  if (jinja !== undefined) templates.set('default', jinja);
  const specialTokens = SPECIAL_TOKENS.flatMap((name): [string, string][] => {
    const text = textOfToken(config[name]);
    return text === undefined ? [] : [[name, text]];
  });
  return { templates, specialTokens: Object.fromEntries(specialTokens) };
}

/** A neighbour that is no JSON object says nothing about this tokenizer. */
function parsedObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
  } catch {
    return {};
  }
}

/** A text, or a list of named ones. */
function templatesOf(value: unknown): Map<string, string> {
  if (typeof value === 'string') return new Map([['default', value]]);
  const templates = new Map<string, string>();
  for (const item of Array.isArray(value) ? (value as readonly unknown[]) : []) {
    if (typeof item !== 'object' || item === null || !('name' in item) || !('template' in item)) continue;
    if (typeof item.name === 'string' && typeof item.template === 'string') templates.set(item.name, item.template);
  }
  return templates;
}

/** A token as text, or as an object with `content`. */
function textOfToken(token: unknown): string | undefined {
  const content = typeof token === 'object' && token !== null && 'content' in token ? token.content : token;
  return typeof content === 'string' ? content : undefined;
}
