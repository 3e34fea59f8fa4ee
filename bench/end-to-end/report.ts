/** Results → a Markdown table and a plot a scenario. */
import type { Entry } from './contestants.js';
import type { Scenario } from './scenarios.js';
import { figure, percentile, ratiosOf, shown, spreadOf } from './statistics.js';
import { barPlot } from './svg.js';
import type { TrainerRun } from './trainer-run.js';

export interface Row {
  readonly scenario: Scenario;
  readonly entry: Entry;
  readonly command: string;
  /** In the order of the repeats. */
  readonly runs: readonly TrainerRun[];
  /** Why there is no figure. */
  readonly refused?: string;
  /** Of one whole epoch, through a proxy that counts. */
  readonly fetched?: { readonly requests: number; readonly bytes: number };
  /** Of ranks, in the gate's run. */
  readonly steps?: readonly number[];
  /** Tokens that came more than once, where the loader says that it does that. */
  readonly tokensRepeated?: number;
}

interface Column {
  readonly title: string;
  /** A value a run; empty where it has none. */
  readonly values: (run: TrainerRun) => number;
}

const RATE: Column = { title: 'M tokens/s', values: (run) => (run.tokensTimed ?? NaN) / (run.seconds ?? NaN) / 1e6 };
/** Also what was made before the first batch was given out: a loader with large buffers has much of a small corpus ready by then. */
const RATE_AFTER_IMPORTS: Column = {
  title: '… all tokens, since the imports',
  values: (run) => (run.tokensInStep ?? run.tokens) / ((run.firstBatchAfterImports ?? NaN) + (run.seconds ?? NaN)) / 1e6,
};
const CPU: Column = {
  title: 'CPU-s a M tokens (whole tree, first batch to last)',
  values: (run) => (run.cpuSeconds ?? NaN) / ((run.tokensOfCpu ?? run.tokensTimed ?? NaN) / 1e6),
};
const CPU_WHOLE: Column = { title: '… start and imports included', values: (run) => run.cpuSecondsWhole / (run.tokens / 1e6) };
const CPU_OF_SERVER: Column = {
  title: '… of the S3 server, which is in none of them',
  values: (run) => (run.serverCpuSeconds ?? NaN) / (run.tokens / 1e6),
};
const CPUS: readonly Column[] = [CPU, CPU_WHOLE];
const PSS: Column = { title: 'peak PSS, MiB', values: (run) => run.pssPeakMiB };
const SAMPLES: Column = { title: 'samples/s', values: (run) => (run.tokensTimed ?? NaN) / (run.seconds ?? NaN) };
/** Of samples, `tokens` counts them, and `tokenSum` their bytes. */
const MEGABYTES: Column = { title: 'MB/s', values: (run) => (SAMPLES.values(run) * run.tokenSum) / run.tokens / 1e6 };
const MEGABYTES_AFTER_IMPORTS: Column = {
  title: '… all samples, since the imports',
  values: (run) => run.tokenSum / ((run.firstBatchAfterImports ?? NaN) + (run.seconds ?? NaN)) / 1e6,
};
const CPU_OF_SAMPLES: Column = {
  title: 'CPU-s a GB (whole tree, first batch to last)',
  values: (run) => ((run.cpuSeconds ?? NaN) * 1e9) / (((run.tokensTimed ?? NaN) * run.tokenSum) / run.tokens),
};
const FIRST: Column = { title: 's, process start to first batch', values: (run) => run.firstBatchSeconds ?? NaN };
const FIRST_AFTER: Column = { title: '… after imports', values: (run) => run.firstBatchAfterImports ?? NaN };
const wait = (title: string, of: (waits: readonly number[]) => number): Column => ({ title, values: (run) => of(run.waitsMs ?? []) });

const OF_IMAGES = [SAMPLES, MEGABYTES, MEGABYTES_AFTER_IMPORTS, CPU_OF_SAMPLES, PSS, FIRST];
const COLUMNS: Readonly<Record<Scenario['measure'], readonly Column[]>> = {
  rate: [RATE, RATE_AFTER_IMPORTS, CPU, CPU_WHOLE, CPU_OF_SERVER, PSS, FIRST],
  'first-batch': [FIRST, FIRST_AFTER, PSS],
  resume: [FIRST, FIRST_AFTER, PSS],
  waits: [
    wait('wait p99, ms', (waits) => percentile(waits, 0.99)),
    wait('p50, ms', (waits) => percentile(waits, 0.5)),
    wait('max, ms', (waits) => Math.max(...waits)),
    wait('steps', (waits) => waits.length),
    PSS,
  ],
};

/** The figure that a scenario is about: what is plotted, and compared. */
function leading(scenario: Scenario): Column {
  return columnsOf(scenario)[0];
}

function columnsOf({ measure, kind, epochs }: Scenario): readonly Column[] {
  if (kind === 'images') return OF_IMAGES;
  // with two epochs only the second is timed
  return COLUMNS[measure].filter((column) => epochs === 1 || column !== RATE_AFTER_IMPORTS);
}

export function tableOf(scenario: Scenario, rows: readonly Row[]): string {
  const columns = columnsOf(scenario);
  const own = rows.find(({ entry }) => entry.contestant.name === 'headrace');
  const hasRequests = rows.some(({ fetched }) => fetched !== undefined);
  const titles = [
    'loader',
    ...columns.map(({ title }) => title),
    'headrace ÷ it',
    ...(hasRequests ? ['requests, MB of an epoch'] : []),
    ...(scenario.ranks === undefined ? [] : ['batches of each rank']),
    'shuffles',
    'command',
  ];
  const lines = rows.map((row) => {
    const { entry, refused, runs } = row;
    const isHidden = (column: Column): boolean => refused !== undefined || (entry.contestant.hidesCpu === true && CPUS.includes(column));
    const values = columns.map((column) => (isHidden(column) ? '–' : shown(finite(runs.map(column.values)))));
    if (refused !== undefined) values[0] = `no figure: ${refused}`;
    const cells = [
      entry.label,
      ...values,
      own === undefined || own === row || refused !== undefined || own.refused !== undefined ? '' : shown(ratios(own, row)),
      ...(hasRequests ? [row.fetched === undefined ? '–' : `${row.fetched.requests}, ${figure(row.fetched.bytes / 1e6)}`] : []),
      ...(scenario.ranks === undefined ? [] : [stepsOf(row)]),
      entry.contestant.shuffles ? 'yes' : 'no',
      `\`${row.command}\``,
    ];
    return `| ${cells.map((cell) => cell.replace(/\|/g, '\\|').replace(/\s*\n\s*/g, ' ')).join(' | ')} |`;
  });
  return [`## ${scenario.title}`, '', `| ${titles.join(' | ')} |`, `|${titles.map(() => ' --- |').join('')}`, ...lines, ''].join('\n');
}

function stepsOf({ steps, tokensRepeated = 0 }: Row): string {
  if (steps === undefined) return '–';
  return `${steps.join(', ')}${tokensRepeated > 0 ? `; ${tokensRepeated} tokens twice` : ''}`;
}

export function plotOf(scenario: Scenario, rows: readonly Row[]): string | undefined {
  const { title, values } = leading(scenario);
  const bars = rows
    .filter(({ refused }) => refused === undefined)
    .map(({ entry, runs }) => ({ label: entry.label, isOwn: entry.contestant.name === 'headrace', values: finite(runs.map(values)) }))
    .filter((bar) => bar.values.length > 0)
    .map(({ label, isOwn, values: own }) => ({ label, isOwn, spread: spreadOf(own) }));
  const direction = scenario.measure === 'rate' ? 'more is better' : 'less is better';
  return bars.length === 0 ? undefined : barPlot(scenario.title, `${title}: ${direction}`, bars);
}

function ratios(own: Row, other: Row): number[] {
  const { values } = leading(own.scenario);
  return finite(ratiosOf(own.runs.map(values), other.runs.map(values)));
}

function finite(values: readonly number[]): number[] {
  return values.filter((value) => Number.isFinite(value));
}
