import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CLI, runCli } from '../support/sidecar.js';
import { makeWorkspace, type Workspace } from '../support/workspace.js';

describe('what a command prints', () => {
  let workspace: Workspace;
  let config: string;

  beforeAll(async () => {
    workspace = await makeWorkspace();
    await writeFile(workspace.path('rows.jsonl'), Array.from({ length: 64 }, (_, i) => `{"ids":[${i},1,2,3]}\n`).join(''));
    config = await workspace.config('run.yaml', {
      // each has a line of `index`, so that there are some to write after the first that nobody read
      sources: Object.fromEntries(['a', 'b', 'c', 'd'].map((name) => [name, { uri: workspace.path('rows.jsonl'), tokens: 'ids' }])),
      sequence: { length: 8 },
      batch: { size: 2, lanes: 2 },
      epochs: 1,
      cache: { dir: workspace.path('cache') },
    });
  });
  afterAll(() => workspace.remove());

  it('may lose its reader: the work is done all the same', async () => {
    const child = spawn(process.execPath, [CLI, 'index', config, '--out', workspace.path('index'), '--json'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.destroy();
    let err = '';
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number | null];
    expect([code, err]).toEqual([0, '']);
    expect((await readFile(workspace.path('index', 'd.index'))).length).toBeGreaterThan(0);
  });

  it.skipIf(process.platform !== 'linux')('is an error where it cannot be written', async () => {
    const script = `trap '' XFSZ; ulimit -f 1; exec "$0" "$@" > "$OUT"`;
    const args = ['-c', script, process.execPath, CLI, 'show', config, '--step', '0', '--json'];
    const child = spawn('sh', args, { env: { ...process.env, OUT: workspace.path('out') }, stdio: ['ignore', 'ignore', 'pipe'] });
    let err = '';
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number | null];
    expect([code, err]).toEqual([1, expect.stringMatching(/^error OUTPUT_FAILED: .*EFBIG/)]);
  });

  it('drives no terminal with what an error quotes, and says a cause once', async () => {
    await writeFile(workspace.path('state.json'), '\u001b]0;owned\u0007');
    const { code, err } = await runCli(['show', config, '--step', '0', '--cursor', workspace.path('state.json')]);
    expect(code).toBe(1);
    expect(err).toMatch(/^error CURSOR_INVALID: .*state\.json holds no state: Unexpected token/);
    expect(err).not.toMatch(/[\u001b\u0007]/);
    expect(err.match(/Unexpected token/g)).toHaveLength(1);
  });

  it.each([
    ['a state that is not there', ['show', '--step', '0', '--cursor', 'none.json'], /cannot read the state none\.json: ENOENT/],
    ['a step behind the end', ['show', '--step', '1000'], /no step 1000: it ends after \d+ steps/],
  ])('says what is wrong with %s', async (_, [command, ...flags], expected) => {
    const { code, err } = await runCli([command, config, ...flags]);
    expect(code).toBe(1);
    expect(err).toMatch(expected);
  });

  it('a weight beyond every number is refused before a sidecar is asked', async () => {
    const { code, err } = await runCli(['mix', 'ipc:///tmp/no.sock', 'web=1e400', '--at', '1']);
    expect([code, err]).toEqual([1, expect.stringContaining("'web=1e400' is invalid")]);
  });
});
