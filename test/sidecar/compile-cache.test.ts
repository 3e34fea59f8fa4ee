import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import * as nodeModule from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const COMMAND = fileURLToPath(new URL('../../dist/command/headrace.js', import.meta.url));

describe('the code that is kept for the next start', () => {
  let directory: string;

  beforeAll(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'headrace-code-'));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  /** A command that imports some, and prints it. */
  const run = (env: NodeJS.ProcessEnv): string => {
    const { NODE_COMPILE_CACHE: _, NODE_DISABLE_COMPILE_CACHE: __, ...own } = process.env;
    const args = [COMMAND, 'cache', 'stats', '--dir', path.join(directory, 'none'), '--json'];
    return execFileSync(process.execPath, args, { encoding: 'utf8', env: { ...own, ...env } });
  };
  const kept = (home: string): string[] => {
    const code = path.join(directory, home, 'headrace', 'code');
    return existsSync(code) ? readdirSync(code, { recursive: true, encoding: 'utf8' }) : [];
  };

  it.skipIf(!('enableCompileCache' in nodeModule))("lies in the user's directory, and changes nothing that is printed", () => {
    const first = run({ XDG_CACHE_HOME: path.join(directory, 'home') });
    expect(kept('home').length).toBeGreaterThan(5);
    expect(run({ XDG_CACHE_HOME: path.join(directory, 'home') })).toBe(first);
  });

  it('is not kept where a user says so, or cannot be, which ends no command', () => {
    const printed = run({ XDG_CACHE_HOME: path.join(directory, 'not-wanted'), NODE_DISABLE_COMPILE_CACHE: '1' });
    run({ XDG_CACHE_HOME: path.join(directory, 'elsewhere'), NODE_COMPILE_CACHE: path.join(directory, 'theirs') });
    expect([...kept('not-wanted'), ...kept('elsewhere')]).toEqual([]);
    writeFileSync(path.join(directory, 'file'), '');
    expect(run({ XDG_CACHE_HOME: path.join(directory, 'file') })).toBe(printed);
  });
});
