import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import type { TrainerAnswer } from '../../bench/end-to-end/trainer-run.js';
import { PYTHON } from '../support/python.js';

const SCRIPTS = fileURLToPath(new URL('../../bench/end-to-end', import.meta.url));
const dir = mkdtempSync(path.join(tmpdir(), 'headrace-ranks-'));
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

/** A trainer whose batches are numbers of tokens; "die" ends it. What it does is a line in a log that all ranks share: −1 when it has its imports, i when it asks for batch i. */
const TRAINER = `
import json, os, socket, sys, time
from steps import LINK, begin, in_step

class Tally:
    tokens = batches = 0

with open(sys.argv[1]) as file:
    request = json.load(file)
rank, tally = int(os.environ["RANK"]), Tally()

def note(number):
    with open(os.path.join(request["dir"], "log"), "a") as log:
        log.write(f"{number}\\n")

def stream():
    for tokens in request["batches"][rank]:
        if tokens == "die":
            os._exit(3)
        note(tally.batches)
        yield tokens

link = socket.socket(fileno=int(os.environ[LINK]))
note(-1)
begin(link)
for tokens in in_step(stream(), tally, link):
    tally.tokens += tokens
    tally.batches += 1
names = ["RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR"]
print("what loaders say")
print(json.dumps({
    "versions": {name: os.environ[name] for name in names}, "startedAt": time.monotonic(), "importSeconds": 0,
    "batches": tally.batches, "tokens": tally.tokens, "tokenSum": 2 * tally.tokens, "digest": str(tally.tokens),
}))
`;

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly log: readonly number[];
}

function run(batches: readonly (readonly (number | 'die')[])[], secondsMax = 60): Ended {
  const own = mkdtempSync(path.join(dir, 'run-'));
  const [trainer, request] = [path.join(own, 'trainer.py'), path.join(own, 'request.json')];
  writeFileSync(trainer, TRAINER);
  writeFileSync(request, JSON.stringify({ ranks: batches.length, batches, dir: own, secondsMax }));
  const python = PYTHON ?? 'python3';
  const { status, stdout, stderr } = spawnSync(python, [path.join(SCRIPTS, 'ranks.py'), python, trainer, request], {
    encoding: 'utf8',
    env: { ...process.env, PYTHONPATH: SCRIPTS },
    timeout: 30_000, // of a run that hangs
  });
  return { status, stdout, stderr, log: readFileSync(path.join(own, 'log'), 'utf8').trim().split('\n').map(Number) };
}

function answerOf({ stdout }: Ended): TrainerAnswer {
  return JSON.parse(stdout) as TrainerAnswer;
}

describe.skipIf(PYTHON === undefined)('ranks on one machine', () => {
  it('starts each as torchrun does', () => {
    const { versions } = answerOf(run([[1], [1]]));
    expect(versions).toEqual({ RANK: '0', WORLD_SIZE: '2', LOCAL_RANK: '0', LOCAL_WORLD_SIZE: '2', MASTER_ADDR: '127.0.0.1' });
  });

  it('begins when all are ready, and gives nobody a batch before all have had the one before', () => {
    const ended = run([Array<number>(30).fill(1), Array<number>(30).fill(1), Array<number>(30).fill(1)]);
    expect(ended.log).toEqual([...ended.log].sort((a, b) => a - b));
    expect(ended.log).toHaveLength(3 * (1 + 30));
  });

  it('times the steps that all had, after the first, and reads what is left of the others to the end', () => {
    const answer = answerOf(
      run([
        [10, 20, 30, 40, 50],
        [1, 2, 3],
      ]),
    );
    expect(answer).toMatchObject({ isWhole: true, steps: [5, 3], tokens: 156, tokenSum: 312, batches: 8 });
    expect(answer).toMatchObject({ tokensInStep: 66, tokensTimed: 55, tokensOfCpu: 145 });
    expect(answer.seconds).toBeGreaterThan(0);
  });

  it('has an order of all ranks: who had what is part of it', () => {
    const { digest } = answerOf(run([[1], [5]]));
    expect(digest).toBe(answerOf(run([[1], [5]])).digest);
    expect(digest).not.toBe(answerOf(run([[5], [1]])).digest);
  });

  it('stops all ranks after the same step where the time is over', () => {
    const answer = answerOf(run([Array<number>(9).fill(1), Array<number>(9).fill(1)], 0));
    expect(answer.isWhole).toBe(false);
    const [first, second] = answer.steps!;
    expect(first).toBe(second);
    expect(first).toBeLessThan(9);
  });

  it('fails where a rank ends before its data do, and ends the others', () => {
    const ended = run([
      [1, 1, 1],
      [1, 'die'],
    ]);
    expect(ended.status).not.toBe(0);
    expect(ended.stderr).toContain('rank 1 ended before its data did');
  });
});
