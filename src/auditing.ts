/**
 * Audits a run: reads its ledger, and checks it against the configuration's plan and data.
 *
 *   lines ─▶ plan of each segment ─▶ chain of each lane ─▶ rows that the plan says were delivered ─▶ some steps, computed again
 */
import { randomInt } from 'node:crypto';
import type { Config } from './config/config.js';
import { deriveKey } from './core/keyed-random.js';
import { HeadraceError } from './core/errors.js';
import { countedLength, type Packing } from './core/packing.js';
import { createPermutation } from './core/permutation.js';
import { throwIfAborted } from './core/abort.js';
import type { SkipReason } from './core/skip.js';
import { openDecoders } from './decode/open-decoders.js';
import { scanHere } from './decode/scan.js';
import { ChainCheck, type LaneRange } from './ledger/check-chain.js';
import { checkCoverage, type SourceCoverage } from './ledger/check-coverage.js';
import { laneDigests, laneStatesOf, positionsOf, type GapLine, type SkipLine, type SourcePositions } from './ledger/format.js';
import { LEDGER_LIMITS } from './ledger/limits.js';
import { ProblemList } from './ledger/problems.js';
import { listSegments, readSegment } from './ledger/read-ledger.js';
import { buildManifests, openAllShards, readAllExclusions } from './manifests.js';
import { openPipeline, type Pipeline } from './pipeline.js';
import { knownPlanOf, lanesCanEnd, planSources } from './planning.js';
import { CURSOR_VERSION, describeEntry, differingEntry, type Cursor, type PlanRecord } from './plan/cursor.js';
import { sameChanges, type MixtureChange } from './plan/mixture-changes.js';
import { createStoreSet } from './store/open-store.js';
import type { MadeStep } from './stream/assembler.js';

export interface AuditOptions {
  readonly dir: string;
  /** Steps that are computed again; all where there are no more. */
  readonly sample: number;
  /** Chooses them; `undefined`: at random. */
  readonly seed: number | undefined;
  readonly signal: AbortSignal;
  /** Told of what is worth a line in a log, and is no error. */
  readonly warn: (message: string, detail: Readonly<Record<string, string | number>>) => void;
}

export type CheckName = 'lines' | 'plan' | 'chain' | 'coverage' | 'recomputation';

/** One check: it has passed where it has no problems and was not left out. */
export interface CheckResult {
  readonly check: CheckName;
  /** `not made`: an earlier check has failed, so that this one has nothing to stand on. */
  readonly outcome: 'passed' | 'failed' | 'not made';
  /** What was looked at, for people. */
  readonly facts: string;
  /** The first ones; `problemCount` has all. */
  readonly problems: readonly string[];
  readonly problemCount: number;
}

export interface SkippedTotal {
  readonly source: string;
  readonly reason: SkipReason;
  readonly rows: number;
}

export interface AuditReport {
  readonly dir: string;
  readonly passed: boolean;
  readonly checks: readonly CheckResult[];
  readonly segments: number;
  readonly firstStep: number | null;
  /** The first step that was not made by every lane. */
  readonly endStep: number | null;
  readonly sources: readonly Omit<SourceCoverage, 'problems'>[];
  /** Rows of blocks and windows that the ledger names, whether their turn has come already or not. */
  readonly skipped: readonly SkippedTotal[];
  readonly sampleSeed: number;
  readonly sampled: readonly number[];
}

/** What one scan of all segments has found. */
interface Scan {
  readonly lines: ProblemList;
  readonly plan: ProblemList;
  readonly chain: ChainCheck;
  readonly ranges: ReadonlyMap<string, LaneRange>;
  readonly skips: ReadonlyMap<string, SkipLine>;
  readonly segments: number;
  readonly lineCount: number;
  readonly tornEnds: number;
}

/** Errors: `LEDGER_INVALID` where the directory holds no ledger, and those of opening the configuration. What is wrong with the ledger is in the report. */
export async function auditLedger(config: Config, options: AuditOptions): Promise<AuditReport> {
  const { dir, signal, warn } = options;
  const files = await listSegments(dir);
  const made: MadeStep[] = [];
  const onStep = (step: MadeStep): void => void made.push(step);
  const pipeline = await openPipeline(config, { signal, warn, onStep, observe: 'cursor' });
  try {
    const scan = await scanSegments(files, config, pipeline.info.plan, signal);
    // what can be read of a damaged segment is checked as all else: its lines are wrong, and not what they say
    const chainStands = scan.plan.count + scan.chain.problems.count === 0;
    const sources = chainStands ? await coverageOf(config, scan.ranges, options) : [];
    const [firstStep, endStep] = stepsOfAll(scan.ranges);
    const sampleSeed = options.seed ?? randomInt(2 ** 31);
    const sampled = chainStands ? sampleSteps(firstStep, endStep, options.sample, sampleSeed) : [];
    const unequal = await recompute(files, pipeline, config, sampled, made, signal);
    const coverage = mergeProblems(sources);
    const checks = [
      result(
        'lines',
        true,
        `${scan.lineCount} lines in ${count(scan.segments, 'segment')}, ${count(scan.tornEnds, 'torn end')}`,
        scan.lines,
      ),
      result('plan', true, `fingerprint ${pipeline.info.planFingerprint.slice(0, 16)}`, scan.plan),
      // of other plans alone there is no chain to check
      result('chain', scan.ranges.size > 0 || scan.plan.count === 0, chainFacts(scan), scan.chain.problems),
      result('coverage', chainStands, sources.map((source) => coverageFacts(source, config.sequence.packing)).join('; '), coverage),
      result(
        'recomputation',
        chainStands,
        `${count(sampled.length, 'step')} of ${endStep - firstStep}, sample seed ${sampleSeed}`,
        unequal,
      ),
    ];
    return {
      dir,
      passed: checks.every(({ outcome }) => outcome === 'passed'),
      checks,
      segments: scan.segments,
      firstStep: scan.ranges.size === 0 ? null : firstStep,
      endStep: scan.ranges.size === 0 ? null : endStep,
      sources: sources.map(({ source, rows, tokens, epochs }) => ({ source, rows, tokens, epochs })),
      skipped: skippedTotals(scan.skips),
      sampleSeed,
      sampled,
    };
  } finally {
    await pipeline.close();
  }
}

async function scanSegments(files: readonly string[], config: Config, plan: PlanRecord, signal: AbortSignal): Promise<Scan> {
  const { lanes, size } = config.batch;
  const lines = new ProblemList(LEDGER_LIMITS.problemsMax);
  const planProblems = new ProblemList(LEDGER_LIMITS.problemsMax);
  const sources = config.sources.map(({ name }) => name);
  const chain = new ChainCheck({
    lanes,
    slotsPerLane: size / lanes,
    length: countedLength(config.sequence.packing, config.sequence.length),
    lanesEnd: lanesCanEnd(config),
    sources,
  });
  const skips = new Map<string, SkipLine>();
  const gaps: GapLine[] = [];
  const parts = new Map<string, Set<number>>();
  let [segments, lineCount, tornEnds] = [0, 0, 0];
  for (const file of files) {
    throwIfAborted(signal);
    try {
      for await (const event of readSegment(file, signal)) {
        if (event.kind !== 'end') lineCount++;
        if (event.kind === 'header') {
          segments++;
          parts.set(event.header.writer, (parts.get(event.header.writer) ?? new Set()).add(event.header.part));
          const field = differingEntry(event.header.plan, plan);
          if (field === undefined) continue;
          const [there, here] = [describeEntry(event.header.plan[field]), describeEntry(plan[field])];
          planProblems.add(`${file} is of another plan: ${field} is ${there} there, and ${here} in the configuration`);
          break; // its steps are another run's
        }
        if (event.kind === 'start') chain.start(file, event.step, event.state);
        else if (event.kind === 'step') chain.step(file, event);
        else if (event.kind === 'skip') addSkip(event.skip, skips, plan, planProblems);
        else if (event.kind === 'gap') gaps.push(event.gap);
        else if (event.tornBytes > 0) tornEnds++;
      }
    } catch (error) {
      if (!isInvalid(error)) throw error;
      const { line } = error.detail;
      const unread = typeof line === 'number' ? `; ${count(line - 1, 'line')} before it were read, and none from it on` : '';
      lines.add(`${error.message}${unread}`);
    }
  }
  for (const [writer, numbers] of parts) {
    for (let part = 0; part < Math.max(...numbers); part++) {
      if (!numbers.has(part)) lines.add(`segment ${part} of the process ${writer} is missing, and later ones are there`);
    }
  }
  const ranges = chain.finish();
  for (const { skips: lost, problem } of gaps) {
    if (lost > 0) lines.add(`${count(lost, 'line')} of skipped rows could not be written (${problem})`);
  }
  if (chain.problems.count > 0) {
    for (const { steps, firstStep, lastStep, problem } of gaps) {
      if (steps > 0)
        chain.problems.add(
          `a gap is declared: ${count(steps, 'line')} of steps ${firstStep} to ${lastStep} could not be written (${problem})`,
        );
    }
  }
  return { lines, plan: planProblems, chain, ranges, skips, segments, lineCount, tornEnds };
}

/** What is told twice counts once. */
function addSkip(skip: SkipLine, skips: Map<string, SkipLine>, plan: PlanRecord, problems: ProblemList): void {
  const policy = skip.reason === 'bad-row' ? 'badRows' : 'badBlocks';
  if (plan[policy] !== 'skip') problems.add(`rows of ${skip.uri} were left out (${skip.reason}), and ${policy} is not skip`);
  skips.set(`${skip.source}\0${skip.uri}\0${skip.startRow}\0${skip.endRow}`, skip);
}

function skippedTotals(skips: ReadonlyMap<string, SkipLine>): SkippedTotal[] {
  const totals = new Map<string, SkippedTotal>();
  for (const { source, reason, startRow, endRow } of skips.values()) {
    const key = `${source} ${reason}`;
    totals.set(key, { source, reason, rows: (totals.get(key)?.rows ?? 0) + endRow - startRow });
  }
  return [...totals].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, total]) => total);
}

/** From the manifests, which the plan of the configuration has the fingerprints of. */
async function coverageOf(
  config: Config,
  ranges: ReadonlyMap<string, LaneRange>,
  { signal, warn }: AuditOptions,
): Promise<SourceCoverage[]> {
  const stores = createStoreSet(config.storage);
  try {
    // the pipeline has just read them: they are in the manifest's cache
    const manifests = await openAllShards(await buildManifests(config, stores, openDecoders(scanHere), { signal, warn }), signal);
    const exclusions = await readAllExclusions(config, manifests, stores, { signal });
    return planSources(config, { manifests, exclusions }, 'train').map((source, index) => {
      const { manifest } = source;
      const plan = knownPlanOf(source);
      const stretches = [...ranges]
        .sort(([a], [b]) => Number(a) - Number(b))
        .map(([, { first, last }]) => ({ from: first[index], to: last[index] }));
      return checkCoverage({ plan, lanes: config.batch.lanes, shardRows: manifest.table.columns.rows, rows: manifest.rows, stretches });
    });
  } finally {
    await stores.close();
  }
}

/** Steps that every lane has made. */
function stepsOfAll(ranges: ReadonlyMap<string, LaneRange>): [number, number] {
  const lanes = [...ranges.values()];
  if (lanes.length === 0) return [0, 0];
  const first = Math.max(...lanes.map(({ firstStep }) => firstStep));
  return [first, Math.max(first, Math.min(...lanes.map(({ endStep }) => endStep)))];
}

function sampleSteps(firstStep: number, endStep: number, sample: number, seed: number): number[] {
  const order = createPermutation(deriveKey('audit', seed), endStep - firstStep);
  return Array.from({ length: Math.min(sample, order.size) }, (_, i) => firstStep + order.at(i)).sort((a, b) => a - b);
}

/** A step as the ledger has it, of all lanes. */
interface WrittenStep {
  readonly before: Map<string, SourcePositions>;
  readonly after: Map<string, SourcePositions>;
  readonly digests: Map<string, string>;
  mixture: readonly MixtureChange[];
}

/** Through the real pipeline, from the positions before the step. */
async function recompute(
  files: readonly string[],
  pipeline: Pipeline,
  config: Config,
  steps: readonly number[],
  made: MadeStep[],
  signal: AbortSignal,
): Promise<ProblemList> {
  const problems = new ProblemList(LEDGER_LIMITS.problemsMax);
  const sources = config.sources.map(({ name }) => name);
  for (const [step, written] of await readSteps(files, steps, signal)) {
    throwIfAborted(signal);
    const lanes = laneStatesOf(written.before, sources);
    // with the changes of this step itself, which were made while running
    const cursor: Cursor = { version: CURSOR_VERSION, step, plan: pipeline.info.plan, mixture: written.mixture, lanes };
    const stream = pipeline.openStream({ cursor });
    made.length = 0;
    try {
      await stream.next();
    } finally {
      stream.close();
    }
    if (made.length === 0) problems.add(`step ${step} does not exist when it is computed again: the run ends before it`);
    for (const again of made) compareStep(again, written, config, problems);
  }
  return problems;
}

function compareStep(made: MadeStep, written: WrittenStep, config: Config, problems: ProblemList): void {
  const sources = config.sources.map(({ name }) => name);
  for (const [lane, digest] of laneDigests(made.slots, config.batch.lanes)) {
    if (written.digests.get(lane) !== digest) {
      problems.add(
        `step ${made.step} of lane ${lane} has another digest when it is computed again: ${digest}, and in the ledger ${written.digests.get(lane)}`,
      );
    }
  }
  for (const [lane, state] of Object.entries(made.after.lanes)) {
    const [now, then] = [JSON.stringify(positionsOf(state, sources)), JSON.stringify(written.after.get(lane))];
    if (now !== then)
      problems.add(`after step ${made.step}, lane ${lane} stands at ${now} when it is computed again, and at ${then} in the ledger`);
  }
  if (!sameChanges(made.after.mixture, written.mixture)) problems.add(`step ${made.step} has other changes of weights in the ledger`);
}

async function readSteps(
  files: readonly string[],
  steps: readonly number[],
  signal: AbortSignal,
): Promise<ReadonlyMap<number, WrittenStep>> {
  const found = new Map<number, WrittenStep>(
    steps.map((step) => [step, { before: new Map(), after: new Map(), digests: new Map(), mixture: [] }]),
  );
  if (steps.length === 0) return found;
  for (const file of files) {
    try {
      for await (const event of readSegment(file, signal)) {
        if (event.kind !== 'step') continue;
        const written = found.get(event.step);
        if (written === undefined) continue;
        for (const [lane, digest] of event.digests) written.digests.set(lane, digest);
        for (const [lane, positions] of event.before.lanes) written.before.set(lane, positions);
        for (const [lane, positions] of event.after.lanes) written.after.set(lane, positions);
        written.mixture = event.after.mixture;
      }
    } catch (error) {
      if (!isInvalid(error)) throw error; // the scan has told of it, and taken no step from behind it
    }
  }
  return found;
}

function isInvalid(error: unknown): error is HeadraceError {
  return error instanceof HeadraceError && error.code === 'LEDGER_INVALID';
}

function result(check: CheckName, isMade: boolean, facts: string, { lines, count: problemCount }: ProblemList): CheckResult {
  if (!isMade) return { check, outcome: 'not made', facts, problems: [], problemCount: 0 };
  return { check, outcome: problemCount === 0 ? 'passed' : 'failed', facts, problems: lines, problemCount };
}

function mergeProblems(sources: readonly SourceCoverage[]): ProblemList {
  const merged = new ProblemList(LEDGER_LIMITS.problemsMax);
  for (const { problems } of sources) for (const line of problems.lines) merged.add(line);
  return merged;
}

function chainFacts({ chain, ranges }: Scan): string {
  if (ranges.size === 0) return 'no steps';
  const firsts = [...ranges.values()].map(({ firstStep }) => firstStep);
  const ends = [...ranges.values()].map(({ endStep }) => endStep);
  const [first, last] = [Math.min(...firsts), Math.max(...ends) - 1];
  const [behind] = ends.sort((a, b) => a - b);
  const uneven = behind <= last ? `, of which all lanes have made those before ${behind}` : '';
  const repeated = chain.repeatedParts > 0 ? `; ${chain.repeatedParts} parts of steps made again, equal` : '';
  return `steps ${first} to ${last} of ${ranges.size} lanes${uneven}${repeated}`;
}

function coverageFacts({ source, rows, tokens, epochs }: SourceCoverage, { kind }: Packing): string {
  const parts = epochs.map(({ epoch, isWhole, rows: covered }) =>
    isWhole ? `epoch ${epoch} whole` : `epoch ${epoch}: ${covered} of ${rows} rows`,
  );
  return `${source}: ${count(tokens, kind === 'samples' ? 'sample' : 'token')}, ${parts.length === 0 ? 'no rows' : parts.join(', ')}`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
