/**
 * Damaged files of every format, read as a run reads them. Seeded, so that each case can be had again:
 *
 *   HEADRACE_FUZZ_MINUTES  as long as that, from a seed of its own (npm run fuzz -- --minutes N)
 *   HEADRACE_FUZZ_SEED     of the first case, in place of 1
 *   HEADRACE_FUZZ_CASES    how many, in place of each format's own number
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FUZZED_FORMATS, type FuzzedFormat } from './formats.js';
import { mutate, randomOf } from './mutate.js';
import { Reader, type FuzzRequest, type Outcome } from './reader.js';

const PYTHON = process.env.HEADRACE_PYTHON;
const SCRIPT = fileURLToPath(new URL('reference.py', import.meta.url));
const MINUTES = Number(process.env.HEADRACE_FUZZ_MINUTES ?? 0);
const SEED = Number(process.env.HEADRACE_FUZZ_SEED ?? (MINUTES > 0 ? Date.now() % 2 ** 31 : 1));

/** Codes that say that the data is not what it should be. */
const DATA_CODES = new Set(['SHARD_INVALID', 'SHARD_UNSUPPORTED', 'COLUMN_MISSING', 'COLUMN_TYPE']);
/** Of the process that reads all the cases, libraries and WebAssembly included: files of some ten KiB must not need more. */
const RSS_BYTES_MAX = 700 * 2 ** 20;
/**
 * Damage inside a page that has no checksum, which another reader happens to see and this one does not: it is not always to be seen, but must be rare. In
 * files whose writer left checksums there is none.
 */
const UNSEEN_SHARE_MAX = 0.005;
const hasChecksums = (file: string): boolean => file.includes('checked');
/** As many problems are shown in full. */
const SHOWN_MAX = 20;

interface Fixture {
  readonly file: string;
  readonly requests: readonly FuzzRequest[];
  readonly bytes: Uint8Array;
  /** Whole objects that belong to the file. */
  readonly beside: Readonly<Record<string, Uint8Array>>;
  readonly cuts: readonly number[];
  /** Digests of the whole file's rows, by request. */
  readonly digests: readonly string[];
}

interface ReferenceAnswer {
  readonly digest?: string;
  readonly rows?: number;
  readonly error?: string;
}

/** Rows that are not the original's: right only if the reference reader gives them as well. */
interface Different {
  readonly label: string;
  readonly file: string;
  readonly request: FuzzRequest;
  readonly digest: string;
  readonly rows: number;
}

describe.skipIf(PYTHON === undefined).each(FUZZED_FORMATS)('damaged files: $name', (format) => {
  let dir: string;
  let fixtures: Fixture[];
  const reader = new Reader();

  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'headrace-fuzz-'));
    fixtures = await makeFixtures(format, dir, reader);
  });
  afterAll(async () => {
    reader.close();
    await rm(dir, { recursive: true });
  });

  it('the whole files are read as the reference reads them', () => {
    const tasks = fixtures.flatMap(({ file, requests }) => requests.map((request) => ({ file: path.join(dir, file), request })));
    expect(askReference(format, tasks).map(({ digest, error }) => digest ?? error)).toEqual(fixtures.flatMap(({ digests }) => digests));
  });

  it(
    'end in a typed error that names the file, in the original rows, or in those of the reference reader',
    async () => {
      const problems: string[] = [];
      const different: Different[] = [];
      const unseen: string[] = [];
      const counts = new Map<string, number>();
      const count = (key: string): void => void counts.set(key, (counts.get(key) ?? 0) + 1);
      const deadline = performance.now() + MINUTES * 60_000;
      const cases = Number(process.env.HEADRACE_FUZZ_CASES ?? (MINUTES > 0 ? Infinity : format.cases));
      let tried = 0;
      for (let index = 0; index < cases && (MINUTES === 0 || performance.now() < deadline); index++) {
        tried++;
        const random = randomOf(SEED + index);
        const fixture = fixtures[random(fixtures.length)];
        const { bytes, what } = mutate(fixture.bytes, fixture.cuts, format, random);
        const at = random(fixture.requests.length);
        const request = fixture.requests[at];
        const label = `HEADRACE_FUZZ_SEED=${SEED + index} ${fixture.file} ${request.kind} ${request.column}: ${what}`;
        const outcome = await reader.read({
          format: format.name,
          name: fixture.file,
          bytes,
          beside: fixture.beside,
          request,
          sliceRows: 1 + random(40),
        });
        const problem = problemOf(outcome, format.codes);
        if (problem !== undefined) problems.push(`${label}: ${problem}`);
        else if (outcome.kind !== 'rows') count('typed error');
        else if (outcome.digest === fixture.digests[at]) count('original rows');
        else {
          const { dir: folder, base } = path.parse(fixture.file);
          const file = path.join(dir, folder, `case-${SEED + index}-${base}`);
          await writeFile(file, bytes);
          different.push({ label, file, request, digest: outcome.digest, rows: outcome.rows });
        }
      }
      const answers = askReference(format, different);
      for (const [index, { label, file, digest, rows }] of different.entries()) {
        const answer = answers[index];
        if (answer.digest === digest) count('other rows, the same as those of the reference');
        else if (answer.error !== undefined && !hasChecksums(file)) unseen.push(`${label}: ${answer.error}`);
        else
          problems.push(`${label}: ${rows} other rows, where the reference says ${answer.error ?? `${answer.rows ?? 0} rows of its own`}`);
      }
      console.log(`${format.name}, seed ${SEED}: ${[...counts].map(([key, value]) => `${value} ${key}`).join(', ')}`);
      if (unseen.length > 0) console.log(`rows of data without checksums, which the reference refuses: ${unseen.join('\n  ')}`);
      expect(problems.slice(0, SHOWN_MAX), `${problems.length} problems`).toEqual([]);
      expect(unseen.length).toBeLessThanOrEqual(Math.ceil(UNSEEN_SHARE_MAX * tried));
    },
    MINUTES * 60_000 + 600_000,
  );
});

function problemOf(outcome: Outcome, codes: readonly string[] = []): string | undefined {
  if (outcome.kind === 'crashed' || outcome.kind === 'hung') return outcome.message;
  if (outcome.rssBytes > RSS_BYTES_MAX) return `the process has ${Math.round(outcome.rssBytes / 2 ** 20)} MiB`;
  if (outcome.kind === 'rows') return undefined;
  if (!DATA_CODES.has(outcome.code) && !codes.includes(outcome.code)) return `${outcome.code} ${outcome.message}`;
  return outcome.named ? undefined : `the message does not name the file: ${outcome.message}`;
}

async function makeFixtures(format: FuzzedFormat, dir: string, reader: Reader): Promise<Fixture[]> {
  const made = JSON.parse(execFileSync(PYTHON!, [SCRIPT, format.name, 'make', dir], { encoding: 'utf8' })) as (Pick<
    Fixture,
    'file' | 'requests'
  > & { readonly beside?: readonly string[] })[];
  const fixtures: Fixture[] = [];
  for (const { file, requests, beside: others = [] } of made) {
    const beside: Record<string, Uint8Array> = {};
    for (const other of others) beside[other] = new Uint8Array(await readFile(path.join(dir, other)));
    const bytes = new Uint8Array(await readFile(path.join(dir, file)));
    const digests: string[] = [];
    for (const request of requests) {
      const outcome = await reader.read({ format: format.name, name: file, bytes, beside, request, sliceRows: 17 });
      if (outcome.kind !== 'rows') throw new Error(`${file} cannot be read: ${outcome.message}`);
      digests.push(outcome.digest);
    }
    fixtures.push({ file, requests, bytes, beside, cuts: format.cutsOf(bytes), digests });
  }
  return fixtures;
}

/** Damaged files may end the reference reader: it is started again behind the one that did. */
function askReference(format: FuzzedFormat, tasks: readonly { readonly file: string; readonly request: FuzzRequest }[]): ReferenceAnswer[] {
  const answers: ReferenceAnswer[] = [];
  while (answers.length < tasks.length) {
    const input = tasks
      .slice(answers.length)
      .map(({ file, request }) => JSON.stringify({ file, request }))
      .join('\n');
    const { stdout } = spawnSync(PYTHON!, [SCRIPT, format.name, 'read'], { input, encoding: 'utf8', maxBuffer: 2 ** 28, timeout: 300_000 });
    const lines = stdout.split('\n').slice(0, -1);
    answers.push(...lines.map((line) => JSON.parse(line) as ReferenceAnswer));
    if (answers.length < tasks.length) answers.push({ error: 'it crashed' });
  }
  return answers;
}
