/** The modules of the sources' transforms, read once, for the workers and for the plan. */
import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import type { Config, SourceConfig } from './config/config.js';
import { LIMITS } from './config/limits.js';
import type { Field } from './core/fields.js';
import { variableName } from './core/variable-name.js';
import { readWhole } from './store/read-whole.js';
import { shownUri } from './store/schemes.js';
import type { StoreSet } from './store/open-store.js';
import { invalidTransform } from './transform/invalid.js';
import type { MadeField, TransformSettings } from './transform/transform.js';

export interface LoadedTransform {
  readonly settings: TransformSettings;
  /** SHA-256 (hex) of the module: what the plan knows of it. */
  readonly sha256: string;
}

/** What rows have their ids under where no column is named. */
const IDS_NAME = 'tokens';

/** By name of the source. Errors: those of stores, `TRANSFORM_INVALID`. */
export async function readTransforms(
  config: Config,
  stores: StoreSet,
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, LoadedTransform>> {
  const transforms = new Map<string, LoadedTransform>();
  for (const source of config.sources) {
    if (source.transform !== undefined) transforms.set(source.name, await readTransform(config, source, source.transform, stores, signal));
  }
  return transforms;
}

/** What a transform of samples without tokens sees and makes; `undefined`: the source has none. `served`: the types that the shards have. */
export function madeFieldsOf(source: SourceConfig, served: readonly Field[] = []): readonly MadeField[] | undefined {
  if (source.transform === undefined || source.servesTokens) return undefined;
  return (source.fields ?? []).flatMap(({ name, isOptional = false }) => {
    const type = served.find((field) => field.name === name);
    return type === undefined ? [] : [{ name, type, isOptional }];
  });
}

async function readTransform(
  { tokenizer }: Config,
  { name, column, columns = [], chat, hasIds, servesTokens }: SourceConfig,
  uri: string,
  stores: StoreSet,
  signal?: AbortSignal,
): Promise<LoadedTransform> {
  const file = shownUri(uri);
  const { store, path } = stores.open(uri);
  const { size } = await store.head(path, signal && { signal });
  if (size > LIMITS.transformBytesMax) {
    throw invalidTransform(file, `has ${size} bytes; it may have ${LIMITS.transformBytesMax}`, {
      hint: 'Leave out of the bundle what the function does not use.',
    });
  }
  const bytes = await readWhole(store, path, signal && { signal });
  if (!isUtf8(bytes)) throw invalidTransform(file, 'is not valid UTF-8', { hint: 'It must be the text of an ES module.' });
  return {
    sha256: createHash('sha256').update(bytes).digest('hex'),
    settings: {
      source: name,
      file,
      code: Buffer.from(bytes).toString('utf8'),
      makes: {
        // files of ids alone name no column
        column: column === '' && servesTokens ? IDS_NAME : column,
        columns: columns.map((own) => (own === column ? own : variableName(own))),
        kind: !servesTokens ? 'fields' : chat !== undefined ? 'messages' : hasIds ? 'ids' : 'text',
        invalidUtf8: tokenizer?.invalidUtf8 ?? 'error',
      },
    },
  };
}
