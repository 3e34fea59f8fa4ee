/** Scripts of the reference implementations, run by the interpreter that HEADRACE_PYTHON names: tests that need one are skipped without it. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const PYTHON = process.env.HEADRACE_PYTHON;

/** The Python client's sources, for `import headrace`. */
const CLIENT = fileURLToPath(new URL('../../python/src', import.meta.url));

/** What a script below `test/support` prints. */
export function runScript(name: string, ...args: readonly string[]): string {
  const script = fileURLToPath(new URL(name, import.meta.url));
  return execFileSync(PYTHON ?? 'python3', [script, ...args], {
    encoding: 'utf8',
    env: { ...process.env, PYTHONPATH: CLIENT },
    maxBuffer: 2 ** 28,
  });
}

/** Whether a module can be imported. */
export function hasModule(name: string): boolean {
  try {
    execFileSync(PYTHON ?? 'python3', ['-c', `import ${name}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
