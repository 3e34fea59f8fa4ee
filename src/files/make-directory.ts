/** Makes a directory as `mkdir -p` does, and ends wherever that cannot be. */
import { mkdir, stat } from 'node:fs/promises';
import path from 'node:path';

/**
 * A directory and those above it, as `mkdir -p`. Node's own way (`recursive`) asks again for ever where a directory can not be made in one that is there and
 * says ENOENT, as /proc does, and nothing in the process ends it. Errors: those of `mkdir`, of the directory that could not be made.
 */
export async function makeDirectory(directory: string, mode?: number): Promise<void> {
  const make = async (): Promise<void> => {
    try {
      await mkdir(directory, { mode });
    } catch (error) {
      if (!(await isDirectory(directory))) throw error;
    }
  };
  try {
    await make();
  } catch (error) {
    const above = path.dirname(directory);
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || above === directory) throw error;
    await makeDirectory(above, mode);
    await make();
  }
}

async function isDirectory(file: string): Promise<boolean> {
  try {
    return (await stat(file)).isDirectory();
  } catch {
    return false;
  }
}
