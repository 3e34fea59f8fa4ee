/** One run of one contestant: a launcher and its process tree, whose memory is sampled meanwhile. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** Between samples of memory: reading the maps of a process takes milliseconds. */
const SAMPLE_MS = 500;
/** A tree that was told to end. */
const END_MS = 5000;
const LOG_CHARACTERS = 3000;

/** What trainer.py answers. */
export interface TrainerAnswer {
  readonly versions: Readonly<Record<string, string>>;
  readonly importSeconds: number;
  readonly startedAt: number;
  readonly firstBatchAt?: number;
  readonly firstBatchAfterImports: number | null;
  readonly isWhole?: boolean;
  readonly seconds?: number;
  readonly tokensTimed?: number;
  readonly cpuSeconds?: number;
  /** Of ranks: tokens of all steps that all of them had; those that `cpuSeconds` is of; and how many batches each rank had. */
  readonly tokensInStep?: number;
  readonly tokensOfCpu?: number;
  readonly steps?: readonly number[];
  readonly waitsMs?: readonly number[];
  readonly batches: number;
  readonly tokens: number;
  readonly tokenSum: number;
  readonly digest: string;
  /** Of a resumed run: how many of its first batches are those of the run that it continues, and how many were compared. */
  readonly equalBatches?: number;
  readonly followingBatches?: number;
}

export interface TrainerRun extends TrainerAnswer {
  /** From the start of the process. */
  readonly firstBatchSeconds?: number;
  /** Of the whole tree, from start to end. */
  readonly cpuSecondsWhole: number;
  readonly pssPeakMiB: number;
  /** Of the S3 server meanwhile. */
  readonly serverCpuSeconds?: number;
}

/** What trainer.py reads. */
export interface TrainerRequest {
  readonly ranks?: number;
  readonly [key: string]: unknown;
}

export interface RunRequest {
  readonly root: string;
  readonly python: string;
  /** The file of the request, and the answer's log, go there. */
  readonly dir: string;
  readonly env: Readonly<Record<string, string>>;
  /** With `ranks` in it: for so many trainers. */
  readonly request: TrainerRequest;
  readonly timeoutMs: number;
}

/** Rejects with the end of the run's log where it failed. */
export async function runTrainer({ root, python, dir, env, request, timeoutMs }: RunRequest): Promise<TrainerRun> {
  const scripts = path.join(root, 'bench', 'end-to-end');
  const file = path.join(dir, 'request.json');
  writeFileSync(file, JSON.stringify(request));
  const trainer = [python, path.join(scripts, 'trainer.py'), file];
  const command = request.ranks === undefined ? trainer : [python, path.join(scripts, 'ranks.py'), ...trainer];
  const child = spawn(python, [path.join(scripts, 'launcher.py'), ...command], {
    env: {
      ...process.env,
      ...env,
      PYTHONPATH: `${scripts}:${path.join(root, 'python', 'src')}`,
      PYTHONWARNINGS: 'ignore',
      // MDS leaves its locks behind
      TMPDIR: dir,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // a process group of its own, which its launcher can end
  });
  let out = '';
  let log = '';
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (log = (log + chunk.toString()).slice(-LOG_CHARACTERS)));
  const ended = new AbortController();
  const memory = samplePss(child.pid!, ended.signal);
  const overdue = setTimeout(() => {
    child.kill('SIGTERM');
    setTimeout(() => child.kill('SIGKILL'), END_MS).unref();
  }, timeoutMs);
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  clearTimeout(overdue);
  ended.abort();
  const pssPeakMiB = await memory;
  const lines = out.trim().split('\n');
  if (code !== 0) {
    const isKilled = signal !== null || code === 256 - constants.signals.SIGKILL || code === null;
    throw new Error(`${isKilled ? `did not end within ${timeoutMs / 1000} s` : `ended with ${code}`}: ${lastLine(log)}\n${log}`);
  }
  const answer = JSON.parse(lines.at(-2)!) as TrainerAnswer;
  const whole = JSON.parse(lines.at(-1)!) as { spawnedAt: number; cpuSecondsWhole: number };
  return {
    ...answer,
    ...(answer.firstBatchAt !== undefined && { firstBatchSeconds: answer.firstBatchAt - whole.spawnedAt }),
    cpuSecondsWhole: whole.cpuSecondsWhole,
    pssPeakMiB,
  };
}

function lastLine(log: string): string {
  return log.trim().split('\n').at(-1) ?? '';
}

/** The greatest sum of proportional set sizes (memory that processes share is counted once) of the descendants of `pid`; NaN where /proc does not tell. */
async function samplePss(pid: number, signal: AbortSignal): Promise<number> {
  let peak = NaN;
  while (!signal.aborted) {
    const own = descendantsOf(pid).reduce((sum, one) => sum + pssKiB(one), 0) / 1024;
    if (own > 0) peak = Math.max(own, Number.isNaN(peak) ? 0 : peak);
    await delay(SAMPLE_MS, undefined, { signal }).catch(() => undefined);
  }
  return peak;
}

function descendantsOf(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = read(`/proc/${name}/stat`);
    if (stat !== '') parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
  }
  const found: number[] = [];
  for (let level = [pid]; level.length > 0;) {
    level = [...parents].filter(([, parent]) => level.includes(parent)).map(([child]) => child);
    found.push(...level);
  }
  return found;
}

function pssKiB(pid: number): number {
  return Number(/^Pss:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0);
}

/** Empty where the process has ended meanwhile. */
function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
