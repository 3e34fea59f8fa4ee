/** What V8 made of this package's code, kept on disk for the next start: a tenth of what the first batch waits for. */
import * as nodeModule from 'node:module';
import { homedir } from 'node:os';
import path from 'node:path';

/** Node ≥ 22.1 has it. It fails without a word where the directory cannot be made: then the code is compiled as ever. */
interface WithCompileCache {
  enableCompileCache?(directory: string): { readonly directory?: string };
}

/**
 * Before anything else is imported; for the threads of the process too. In the user's own directory, since what lies there is run: Node's default is in that of
 * temporary files, which all users share. `NODE_COMPILE_CACHE` names another one, `NODE_DISABLE_COMPILE_CACHE` says that there is to be none.
 */
export function keepCompiledCode(env: NodeJS.ProcessEnv = process.env): void {
  if (env.NODE_COMPILE_CACHE !== undefined || env.NODE_DISABLE_COMPILE_CACHE !== undefined) return;
  const home = homeOf(env);
  if (home === undefined) return;
  const wanted = path.join(home, 'headrace', 'code');
  const { directory } = (nodeModule as WithCompileCache).enableCompileCache?.(wanted) ?? {};
  // a thread looks for it when it starts
  if (directory !== undefined) env.NODE_COMPILE_CACHE = wanted;
}

/** Where a user's caches are; `undefined` of a user without a home, as containers have them. */
function homeOf(env: NodeJS.ProcessEnv): string | undefined {
  if (env.XDG_CACHE_HOME !== undefined) return env.XDG_CACHE_HOME;
  try {
    return path.join(homedir(), '.cache');
  } catch {
    return undefined;
  }
}
