/** Where the Hugging Face hub is, and who asks: the variables and files of its own client (huggingface_hub, constants.py). */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { storeError } from './store-error.js';

/** Without a trailing slash. */
export function hubEndpoint(env: NodeJS.ProcessEnv = process.env): string {
  return (env.HF_ENDPOINT ?? 'https://huggingface.co').replace(/\/+$/, '');
}

/** HF_TOKEN, else what logging in left in a file; undefined if nobody has logged in. Errors: `STORE_DENIED`, for a file that may not be read. */
export async function hubToken(env: NodeJS.ProcessEnv = process.env): Promise<string | undefined> {
  const given = env.HF_TOKEN?.trim();
  if (given !== undefined && given !== '') return given;
  const cache = env.XDG_CACHE_HOME ?? path.join(homedir(), '.cache');
  const file = env.HF_TOKEN_PATH ?? path.join(env.HF_HOME ?? path.join(cache, 'huggingface'), 'token');
  try {
    const saved = (await readFile(file, 'utf8')).trim();
    return saved === '' ? undefined : saved;
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return undefined;
    throw storeError('STORE_DENIED', `the token of the hub cannot be read from ${file}`, { file }, error);
  }
}
