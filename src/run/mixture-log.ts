/**
 * Changes of weights while a run goes on, on any number of machines: a directory that they share, in which every sidecar finds the same changes before
 * it makes the first step that they touch, or none does.
 *
 *   run.json                      the plan of the run
 *   changes/000001.json           a change, proposed; never written again
 *   changes/000001.decision       `commit`, or `void` and why; never written again: who writes it first decides
 *   claims/ID.json                "this sidecar makes steps before `stepsEnd`"
 *
 * A sidecar makes no step beyond its claim, and claims more in this order: write the claim, then read the changes. Who proposes a change writes it first
 * and reads the claims then. So one of the two sees the other (as in Dekker's algorithm): either the proposer finds a claim beyond its step, and makes
 * the change void; or the sidecar finds the change. If it is not decided yet, the sidecar makes it void itself instead of waiting, and takes whatever
 * the decision is: `link` lets only one name be made, on local disks and on NFS. A sidecar whose claim was thought dead and that comes back finds a
 * change of steps that it has made, and fails (`MixtureTimeline`).
 */
import { randomUUID } from 'node:crypto';
import { link, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import * as z from 'zod';
import { HeadraceError, messageOf } from '../core/errors.js';
import { makeDirectory } from '../files/make-directory.js';
import { describeEntry, differingEntry, type PlanRecord } from '../plan/cursor.js';
import { mixtureChangeSchema, weightsAt, type MixtureChange } from '../plan/mixture-changes.js';
import { RUN_LIMITS } from './limits.js';

export interface MixtureRequest {
  /** The first step with other weights; or as many steps after the furthest that any sidecar may have made. */
  readonly at: { readonly step: number } | { readonly after: number };
  readonly weights: Readonly<Record<string, number>>;
  readonly ramp: number;
}

export interface RunDirectoryOptions {
  readonly dir: string;
  readonly plan: PlanRecord;
  /** Of the sources, in order. */
  readonly names: readonly string[];
  readonly weights: readonly number[];
  readonly scheduled: readonly MixtureChange[];
  /** Whether a change may leave a source without a weight. */
  readonly mayBeWeightless: boolean;
}

const CHANGES_DIR = 'changes';

const claimSchema = z.object({ stepsEnd: z.int().min(0), host: z.string(), pid: z.int() });
const runSchema = z.object({ plan: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])) });

interface Claim {
  readonly stepsEnd: number;
  readonly host: string;
  readonly pid: number;
}

export interface Proposal {
  readonly number: string;
  readonly change: MixtureChange;
  /** `commit`, or `void` and why; `undefined`: not decided when it was read. */
  readonly decision: string | undefined;
}

/** Opens the directory, or makes it. Errors: `RUN_DIRECTORY`, `CONFIG_MISMATCH` where it belongs to another plan. */
export async function openMixtureLog(options: RunDirectoryOptions): Promise<SharedMixtureLog> {
  const log = new SharedMixtureLog(options);
  await log.open();
  return log;
}

export class SharedMixtureLog {
  readonly #options: RunDirectoryOptions;
  readonly #changesDir: string;
  readonly #claimsDir: string;
  readonly #claimFile: string;
  #changes: readonly MixtureChange[] = [];
  /** Steps before this one may be made: every change of them is known. */
  #stepsEnd = 0;
  #turn: Promise<unknown> = Promise.resolve();
  #refresh: NodeJS.Timeout | undefined;

  constructor(options: RunDirectoryOptions) {
    this.#options = options;
    this.#changesDir = path.join(options.dir, CHANGES_DIR);
    this.#claimsDir = path.join(options.dir, 'claims');
    this.#claimFile = path.join(this.#claimsDir, `${randomUUID()}.json`);
  }

  async open(): Promise<void> {
    const { dir, plan } = this.#options;
    await this.#inDirectory(async () => {
      await makeDirectory(this.#changesDir);
      await makeDirectory(this.#claimsDir);
      await this.#createOnce(path.join(dir, 'run.json'), JSON.stringify({ plan }));
      await checkRun(dir, plan);
      this.#changes = await this.#readChanges(0);
      await this.#writeClaim(0);
    });
    // while this process lives: a claim that is not renewed counts as dead
    this.#refresh = setInterval(() => {
      void this.#inTurn(() => this.#writeClaim(this.#stepsEnd)).catch(() => undefined); // the next claim hears of it
    }, RUN_LIMITS.claimRenewMs);
    this.#refresh.unref();
  }

  /** See `MixtureLog`. */
  async through(step: number): Promise<readonly MixtureChange[]> {
    if (step >= this.#stepsEnd) await this.#inTurn(() => this.#claim(step));
    // ahead of need, so that no step waits for the directory; what fails here fails again when it is needed
    else if (step >= this.#stepsEnd - RUN_LIMITS.claimSteps / 2) this.#inTurn(() => this.#claim(step)).catch(() => undefined);
    return this.#changes;
  }

  /** Makes a change that every sidecar of the run takes at the same step. Errors: `MIXTURE_REFUSED`, `RUN_DIRECTORY`. */
  propose(request: MixtureRequest): Promise<MixtureChange> {
    return this.#inTurn(() => this.#inDirectory(() => this.#propose(request)));
  }

  /** The claim stays until it is too old to count: trainers may go on with what they were sent. */
  async close(): Promise<void> {
    clearInterval(this.#refresh);
    await this.#turn;
  }

  async #claim(step: number): Promise<void> {
    const stepsEnd = step + RUN_LIMITS.claimSteps;
    if (stepsEnd < this.#stepsEnd + RUN_LIMITS.claimSteps / 2) return; // somebody else's turn has brought it
    await this.#inDirectory(async () => {
      await this.#writeClaim(stepsEnd);
      this.#changes = await this.#readChanges(stepsEnd);
    });
    this.#stepsEnd = stepsEnd;
  }

  async #propose({ at, weights, ramp }: MixtureRequest): Promise<MixtureChange> {
    const { names } = this.#options;
    const unknown = Object.keys(weights).find((name) => !names.includes(name));
    if (unknown !== undefined) throw refused(`there is no source ${unknown}`, `The sources are ${names.join(', ')}.`, { source: unknown });
    for (let tries = 1; ; tries++) {
      let furthest = await this.#furthestClaim();
      const step = 'step' in at ? at.step : furthest.stepsEnd + at.after;
      if (step < furthest.stepsEnd) throw tooLate(step, furthest);
      const change: MixtureChange = { at: step, weights, ramp };
      this.#checkWeights(change);

      const number = await this.#writeProposal(change);
      furthest = await this.#furthestClaim();
      const decision = await this.#decide(number, furthest.stepsEnd > step ? 'void a sidecar has claimed its step' : 'commit');
      if (decision === 'commit') {
        this.#changes = await this.#readChanges(this.#stepsEnd);
        return change;
      }
      // a sidecar went on meanwhile: its claim is further now
      if ('step' in at || tries === RUN_LIMITS.proposalsMax) throw tooLate(step, furthest);
    }
  }

  /** Weights that are all 0 would end the run; one that is 0 may end a lane, which the plan of a run then says from its start. */
  #checkWeights(change: MixtureChange): void {
    const { names, weights, scheduled, mayBeWeightless } = this.#options;
    const [weightless] = Object.entries(change.weights).find(([, weight]) => weight === 0) ?? [];
    if (weightless !== undefined && !mayBeWeightless) {
      const problem = `${weightless} would have the weight 0, and a source of this run ends: what is left then may have no weight`;
      throw refused(problem, 'Give it a small weight, such as 0.000001; or name the change in `mixture`, and start with that.', {
        source: weightless,
      });
    }
    const after = weightsAt(names, weights, [...scheduled, ...this.#changes, change], change.at + change.ramp);
    if (!after.some((weight) => weight > 0)) throw refused('no source would have a weight above 0', 'Leave one with a weight.', {});
  }

  /** Of the sidecars that renew theirs, this one included. */
  async #furthestClaim(): Promise<Claim> {
    await this.#writeClaim(this.#stepsEnd); // by the clock of whoever holds the directory
    const nowMs = (await stat(this.#claimFile)).mtimeMs;
    let furthest: Claim = { stepsEnd: this.#stepsEnd, host: hostname(), pid: process.pid };
    for (const name of await readdir(this.#claimsDir)) {
      if (!name.endsWith('.json')) continue;
      const claim = await readClaim(path.join(this.#claimsDir, name));
      if (claim === undefined) continue;
      const ageMs = nowMs - claim.writtenMs;
      if (ageMs > RUN_LIMITS.claimKeptMs) await rm(path.join(this.#claimsDir, name), { force: true });
      if (ageMs > RUN_LIMITS.claimLeaseMs) continue;
      if (claim.stepsEnd > furthest.stepsEnd) furthest = claim;
    }
    return furthest;
  }

  /** Committed ones, in order of number. Those of steps before `stepsEnd` that are undecided are decided now. */
  async #readChanges(stepsEnd: number): Promise<readonly MixtureChange[]> {
    const committed: MixtureChange[] = [];
    for (const { number, change, decision: decided } of await readProposals(this.#options.dir)) {
      if (decided === undefined && change.at >= stepsEnd) continue;
      const decision = decided ?? (await this.#decide(number, 'void a sidecar needed its step'));
      if (decision === 'commit') committed.push(change);
    }
    return committed;
  }

  async #writeProposal(change: MixtureChange): Promise<string> {
    for (;;) {
      const taken = (await readdir(this.#changesDir)).filter((name) => name.endsWith('.json')).length;
      if (taken >= RUN_LIMITS.changesMax) throw refused(`the run has ${taken} changes already`, 'Start a new run directory.', {});
      const number = String(taken + 1).padStart(6, '0');
      if (await this.#createOnce(path.join(this.#changesDir, `${number}.json`), JSON.stringify(change))) return number;
    }
  }

  /** Whoever comes first decides: the answer is what holds. */
  async #decide(number: string, decision: string): Promise<string> {
    await this.#createOnce(path.join(this.#changesDir, `${number}.decision`), decision);
    return this.#decision(number);
  }

  #decision(number: string): Promise<string> {
    return readFile(path.join(this.#changesDir, `${number}.decision`), 'utf8');
  }

  async #writeClaim(stepsEnd: number): Promise<void> {
    const claim: Claim = { stepsEnd, host: hostname(), pid: process.pid };
    const temporary = `${this.#claimFile}.tmp`;
    await writeFile(temporary, JSON.stringify(claim));
    await rename(temporary, this.#claimFile);
  }

  /** The whole file or none, under a name that was free. False where it was not. */
  async #createOnce(file: string, content: string): Promise<boolean> {
    const temporary = `${file}.${randomUUID()}.tmp`;
    await writeFile(temporary, content, { flush: true });
    try {
      await link(temporary, file);
      return true;
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
      throw error;
    } finally {
      await rm(temporary, { force: true });
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined); // its caller hears of it
    return result;
  }

  async #inDirectory<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw unusable(this.#options.dir, error, 'write to');
    }
  }
}

/** The changes that a directory holds, in order of number. Errors: those of the file system, of JSON, of zod. */
export async function readProposals(dir: string): Promise<Proposal[]> {
  const changesDir = path.join(dir, CHANGES_DIR);
  const names = new Set(await readdir(changesDir));
  const proposals: Proposal[] = [];
  for (const name of [...names].filter((entry) => entry.endsWith('.json')).sort()) {
    const number = name.slice(0, -'.json'.length);
    const change = mixtureChangeSchema.parse(JSON.parse(await readFile(path.join(changesDir, name), 'utf8')));
    const decision = names.has(`${number}.decision`) ? await readFile(path.join(changesDir, `${number}.decision`), 'utf8') : undefined;
    proposals.push({ number, change, decision });
  }
  return proposals;
}

/** Errors: `CONFIG_MISMATCH` where the directory belongs to another plan; those of the file system, of JSON, of zod. */
export async function checkRun(dir: string, plan: PlanRecord): Promise<void> {
  const written = runSchema.parse(JSON.parse(await readFile(path.join(dir, 'run.json'), 'utf8')));
  checkPlan(dir, written.plan, plan);
}

async function readClaim(file: string): Promise<(Claim & { readonly writtenMs: number }) | undefined> {
  try {
    const { mtimeMs } = await stat(file);
    return { ...claimSchema.parse(JSON.parse(await readFile(file, 'utf8'))), writtenMs: mtimeMs };
  } catch (error) {
    // its sidecar has ended meanwhile
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** A step's number means nothing in another plan. */
function checkPlan(dir: string, written: PlanRecord, plan: PlanRecord): void {
  const field = differingEntry(written, plan);
  if (field === undefined) return;
  throw new HeadraceError(
    'CONFIG_MISMATCH',
    `the run directory ${dir} belongs to another plan: ${field} is ${describeEntry(written[field])} there and ${describeEntry(plan[field])} in this run`,
    {
      detail: { field, dir, run: plan[field] ?? null, expected: written[field] ?? null },
      hint: 'Start with the configuration and data that the directory was made with, or set run.dir to a new one.',
    },
  );
}

function tooLate(step: number, { stepsEnd, host, pid }: Claim): HeadraceError {
  return refused(
    `step ${step} may have been made already: process ${pid} on ${host} makes steps before ${stepsEnd}`,
    `Choose step ${stepsEnd} or a later one, or --at +N, which counts from there.`,
    { step, stepsEnd, host, pid },
  );
}

/** `use`: what this user must be able to do with it. */
export function unusable(dir: string, error: unknown, use: 'read' | 'write to'): HeadraceError {
  if (error instanceof HeadraceError) return error;
  return new HeadraceError('RUN_DIRECTORY', `the run directory ${dir} cannot be used: ${messageOf(error)}`, {
    detail: { dir },
    hint: `run.dir is a directory that all machines of the run share, on a file system with hard links, which this user may ${use}.`,
    cause: error,
  });
}

function refused(problem: string, hint: string, detail: Readonly<Record<string, string | number>>): HeadraceError {
  return new HeadraceError('MIXTURE_REFUSED', `the weights cannot be changed: ${problem}`, { detail, hint });
}
