#!/usr/bin/env node
/** The command line: what was asked for becomes one value, which is then run. */
import { Argument, Command, InvalidArgumentError, Option } from 'commander';
import { HeadraceError, messageOf } from '../src/core/errors.js';
import { FORMAT_NAMES, type FormatName } from '../src/core/format.js';
import { parseSize } from '../src/core/quantity.js';
import { VERSION } from '../src/core/version.js';
import { startWorkerEarly } from '../src/stream/early-worker.js';
import { collectSeldom } from './collector.js';
import { keepCompiledCode } from './compile-cache.js';
import type { LogFormat } from './log.js';
import { watchOutput } from './output.js';
import { printableMessage } from './printable.js';
import type { AuditCommandOptions } from './commands/audit.js';
import type { BenchOptions } from './commands/bench.js';
import type { CacheAction, CacheOptions } from './commands/cache.js';
import type { IndexLengthsOptions } from './commands/index-lengths.js';
import type { IndexOptions } from './commands/index-sources.js';
import type { DiffOptions } from './commands/diff.js';
import type { InspectOptions } from './commands/inspect.js';
import type { MixOptions } from './commands/mix.js';
import type { ServeOptions } from './commands/serve.js';
import type { ShowOptions } from './commands/show.js';
import type { WarmOptions } from './commands/warm.js';

type Invocation =
  | { readonly command: 'serve'; readonly options: ServeOptions }
  | { readonly command: 'bench'; readonly options: BenchOptions }
  | { readonly command: 'cache'; readonly options: CacheOptions }
  | { readonly command: 'warm'; readonly options: WarmOptions }
  | { readonly command: 'index'; readonly options: IndexOptions }
  | { readonly command: 'index-lengths'; readonly options: IndexLengthsOptions }
  | { readonly command: 'inspect'; readonly options: InspectOptions }
  | { readonly command: 'mix'; readonly options: MixOptions }
  | { readonly command: 'show'; readonly options: ShowOptions }
  | { readonly command: 'diff'; readonly options: DiffOptions }
  | { readonly command: 'audit'; readonly options: AuditCommandOptions };

/** As of other commands that compare: 1 says that there is a difference. */
const DIFF_FAILED = 2;

interface GlobalOptions {
  readonly debug: boolean;
}

interface ServeFlags {
  readonly address?: string;
  readonly logFormat?: LogFormat;
  readonly logLevel: string;
  readonly exitWithStdin: boolean;
}

interface BenchFlags {
  readonly tokenizer: string;
  readonly text: string;
  readonly max: number;
}

interface CacheFlags {
  readonly dir?: string;
  readonly json: boolean;
}

interface IndexFlags {
  readonly out?: string;
  readonly lengths: boolean;
  readonly steps?: number;
  readonly json: boolean;
}

interface InspectFlags {
  readonly format?: FormatName;
  readonly rows: number;
  readonly text: readonly string[];
  readonly tokens: readonly string[];
  readonly all: boolean;
  readonly config?: string;
  readonly width?: number;
  readonly json: boolean;
}

interface WarmFlags {
  readonly epoch: number;
  readonly steps?: number;
  readonly tokens: boolean;
  readonly dryRun: boolean;
  readonly json: boolean;
}

interface ShowFlags {
  readonly step: number;
  readonly split?: ShowOptions['split'];
  readonly rank: number;
  readonly worldSize: number;
  readonly slot?: number;
  readonly cursor: readonly string[];
  readonly fromStart: boolean;
  readonly width?: number;
  readonly lines: number;
  readonly ledger?: string | true;
  readonly json: boolean;
}

interface AuditFlags {
  readonly ledger?: string;
  readonly sample: number;
  readonly seed?: number;
  readonly json: boolean;
}

interface MixFlags {
  readonly at: MixOptions['at'];
  readonly ramp: number;
  readonly json: boolean;
}

function parseArguments(argv: readonly string[]): { readonly invocation: Invocation | undefined; readonly debug: boolean } {
  let invocation: Invocation | undefined;
  const program = new Command('headrace')
    .description('Streams training data to GPUs: tokenized, shuffled, packed, exactly repeatable.')
    .version(VERSION)
    .option('--debug', 'show stack traces of errors', false);
  program
    .command('serve')
    .description('run the sidecar of this machine')
    .argument('<config>', 'the YAML configuration')
    .option('--address <address>', 'where trainers connect, in place of serve.address')
    .addOption(new Option('--log-format <format>', 'default: pretty in a terminal, else json').choices(['json', 'pretty']))
    .addOption(new Option('--log-level <level>').choices(['debug', 'info', 'warn', 'error']).default('info'))
    .option('--exit-with-stdin', 'end when standard input ends', false)
    .action((configFile: string, flags: ServeFlags) => {
      invocation = {
        command: 'serve',
        options: {
          configFile,
          address: flags.address,
          logFormat: flags.logFormat ?? (process.stderr.isTTY ? 'pretty' : 'json'),
          logLevel: flags.logLevel,
          exitWithStdin: flags.exitWithStdin,
        },
      };
    });
  program
    .command('bench')
    .description('measure how fast a tokenizer is on a text, in one thread')
    .requiredOption('--tokenizer <file>', 'a tokenizer.json: a path, or a URI as in the configuration')
    .requiredOption('--text <path>', 'a file of UTF-8 text, or a directory of them')
    .option('--max <size>', 'read no more of the text than this', sizeOption, 64e6)
    .action((flags: BenchFlags) => {
      invocation = { command: 'bench', options: { tokenizer: flags.tokenizer, text: flags.text, textBytesMax: flags.max } };
    });
  program
    .command('cache')
    .description('show the byte ranges that are kept on this machine (ls, stats), check them (verify), or delete them (clear)')
    .addArgument(new Argument('<action>').choices(['ls', 'stats', 'verify', 'clear']))
    .option('--dir <dir>', 'cache.dir of the configuration, where it is not ~/.cache/headrace')
    .option('--json', 'one JSON value a line', false)
    .action((action: CacheAction, flags: CacheFlags) => {
      invocation = { command: 'cache', options: { action, dir: flags.dir, json: flags.json } };
    });
  program
    .command('index')
    .description('write what listings and footers say of the shards, so that later starts need neither (sources.NAME.index)')
    .argument('<config>', 'the YAML configuration')
    .option(
      '--out <dir>',
      'directory for NAME.index of each source, or for run.lengths, in place of where sources.NAME.index or lengths says',
    )
    .option('--lengths', 'make the stream of a run that ends once, and write how long its sequences are (lengths), and no index', false)
    .option('--steps <number>', 'with --lengths: of the first so many steps, and no more', countOption)
    .option('--json', 'one JSON value a line', false)
    .action((configFile: string, { out, lengths, steps, json }: IndexFlags) => {
      const options = { configFile, outDir: out, json };
      invocation = lengths ? { command: 'index-lengths', options: { ...options, steps } } : { command: 'index', options };
    });
  program
    .command('inspect')
    .description('show what is at a URI: format, shards, columns, row groups, first rows, and what will be slow')
    .argument('<uri>', 'a prefix or directory, a glob, or one object')
    .addOption(new Option('--format <format>', 'in place of what the names say').choices(FORMAT_NAMES))
    .option('--rows <number>', 'first rows to show', countOption, 3)
    .option('--text <column...>', 'columns of text to show rows of, in place of those that are found', [])
    .option('--tokens <column...>', 'columns of token ids to show rows of', [])
    .option('--all', 'look into every shard, and not into a few', false)
    .option('--config <file>', 'a YAML configuration, for its storage: endpoints, and how to sign in')
    .option('--width <columns>', 'columns of a line, in place of those of the terminal', countOption)
    .option('--json', 'print all of it as one JSON value', false)
    .action((uri: string, { format, config, width, ...flags }: InspectFlags) => {
      invocation = { command: 'inspect', options: { uri, format, configFile: config, width, ...flags } };
    });
  program
    .command('warm')
    .description('fill the cache of this machine with what a run will read, in the order in which it will need it')
    .argument('<config>', 'the YAML configuration')
    .option('--epoch <number>', 'the epoch whose order counts; the first is 0', countOption, 0)
    .option('--steps <number>', 'what the first so many steps of the epoch need, and no more', countOption)
    .option('--tokens', 'tokenize the text, too, so that a run tokenizes nothing (needs cache.tokens)', false)
    .option('--dry-run', 'say how much it is, and fetch nothing but the manifest', false)
    .option('--json', 'one JSON value a line', false)
    .action((configFile: string, { epoch, steps, tokens, dryRun, json }: WarmFlags) => {
      invocation = { command: 'warm', options: { configFile, epoch, steps, tokens, dryRun, json } };
    });
  program
    .command('audit')
    .description('check the ledger of a run: its chain of steps, that every row came once or was left out by policy, and some steps again')
    .argument('<config>', 'the YAML configuration')
    .option('--ledger <dir>', "the directory, in place of the configuration's")
    .option('--sample <number>', 'how many steps to compute again', countOption, 20)
    .option('--seed <number>', 'chooses them; left out: at random, and printed', countOption)
    .option('--json', 'print the report as one JSON value', false)
    .action((configFile: string, { ledger, sample, seed, json }: AuditFlags) => {
      invocation = { command: 'audit', options: { configFile, ledgerDir: ledger, sample, seed, json } };
    });
  program
    .command('mix')
    .description('change the weights of the sources of a run that goes on, at one step on all of its machines (needs run.dir)')
    .argument('<address>', 'of any sidecar of the run: what `headrace serve` prints')
    .argument('<weights...>', 'SOURCE=WEIGHT; a source that is not named keeps its weight', weightArgument)
    .requiredOption(
      '--at <step>',
      'the first step with the new weights; +N: N steps after the furthest that may have been made',
      stepOption,
    )
    .option('--ramp <steps>', 'go from the old weights to the new ones in so many steps', countOption, 0)
    .option('--json', 'print the change as JSON', false)
    .action((address: string, weights: MixOptions['weights'], { at, ramp, json }: MixFlags) => {
      invocation = { command: 'mix', options: { address, at, weights, ramp, json } };
    });
  program
    .command('show')
    .description('show what a step held: source, shard, row and text of each piece, made again from the data')
    .argument('<config>', 'the YAML configuration')
    .requiredOption('--step <number>', 'the step; the first is 0', countOption)
    .addOption(new Option('--split <split>', 'default: that of the state, else train').choices(['train', 'validation']))
    .option('--rank <number>', 'the data-parallel rank', countOption, 0)
    .option('--world-size <number>', 'the number of data-parallel ranks; 1: the whole step', countOption, 1)
    .option('--slot <number>', 'one slot of the global batch only', countOption)
    .option('--cursor <file...>', 'JSON of a state that a checkpoint saved at that step or before it; of several ranks, all', [])
    .option('--ledger [dir]', 'take where the run stood from its ledger; without a directory, that of the configuration')
    .option('--from-start', 'make all steps before it, however long that takes', false)
    .option('--width <columns>', 'columns of a line, in place of those of the terminal', countOption)
    .option('--lines <number>', 'lines of text of each piece', countOption, 2)
    .option('--json', 'one JSON value a line, with all of each text', false)
    .action((configFile: string, { split, slot, width, ledger, ...flags }: ShowFlags) => {
      invocation = { command: 'show', options: { configFile, split, slot, width, ledger, ...flags } };
    });
  program
    .command('diff')
    .description('compare two streams: from which step on they differ, and why (status 0: equal, 1: not, 2: an error)')
    .argument('<a>', 'a YAML configuration, or JSON of a state that a checkpoint saved')
    .argument('<b>', 'another one')
    .option('--json', 'print the comparison as JSON', false)
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : DIFF_FAILED))
    .action((a: string, b: string, { json }: { readonly json: boolean }) => {
      invocation = { command: 'diff', options: { a, b, json } };
    });
  program.parse(argv);
  return { invocation, debug: program.opts<GlobalOptions>().debug };
}

function sizeOption(text: string): number {
  const bytes = parseSize(text);
  // a text and its documents are one buffer each
  if (bytes === undefined || bytes < 1 || bytes > 1e9) throw new InvalidArgumentError('Write a size up to 1GB, like 64MB.');
  return bytes;
}

function countOption(text: string): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(count)) throw new InvalidArgumentError('Write a whole number, 0 or more.');
  return count;
}

function stepOption(text: string): MixOptions['at'] {
  return text.startsWith('+') ? { after: countOption(text.slice(1)) } : { step: countOption(text) };
}

/** Called for each argument, with what the ones before it gave. */
function weightArgument(text: string, before: MixOptions['weights'] = {}): MixOptions['weights'] {
  const matched = /^([A-Za-z0-9_-]{1,64})=(\d+(?:\.\d+)?(?:e-?\d+)?)$/i.exec(text);
  if (matched === null) throw new InvalidArgumentError('Write NAME=WEIGHT, such as web=0.7.');
  const [, name, weight] = matched;
  if (!Number.isFinite(Number(weight))) throw new InvalidArgumentError(`${weight} is larger than any number.`);
  if (name in before) throw new InvalidArgumentError(`${name} is there twice.`);
  return { ...before, [name]: Number(weight) };
}

function run(chosen: Invocation): Promise<number> {
  // loaded when needed: --help and a wrong option answer at once
  switch (chosen.command) {
    case 'serve':
      return import('./commands/serve.js').then(({ serve }) => serve(chosen.options));
    case 'bench':
      return import('./commands/bench.js').then(({ bench }) => bench(chosen.options));
    case 'cache':
      return import('./commands/cache.js').then(({ cache }) => cache(chosen.options));
    case 'audit':
      return import('./commands/audit.js').then(({ audit }) => audit(chosen.options));
    case 'mix':
      return import('./commands/mix.js').then(({ mix }) => mix(chosen.options));
    case 'show':
      return import('./commands/show.js').then(({ show }) => show(chosen.options));
    case 'diff':
      return import('./commands/diff.js').then(({ diff }) => diff(chosen.options));
    case 'index':
      return import('./commands/index-sources.js').then(({ indexSources }) => indexSources(chosen.options));
    case 'index-lengths':
      return import('./commands/index-lengths.js').then(({ indexLengths }) => indexLengths(chosen.options));
    case 'inspect':
      return import('./commands/inspect.js').then(({ inspectUri }) => inspectUri(chosen.options));
    case 'warm':
      return import('./commands/warm.js').then(({ warm }) => warm(chosen.options));
  }
}

collectSeldom();
keepCompiledCode();
const output = watchOutput();
const { invocation, debug } = parseArguments(process.argv);
if (invocation !== undefined) {
  if (invocation.command === 'serve') startWorkerEarly(); // while this thread imports the rest
  try {
    const status = await run(invocation);
    await output.check();
    process.exitCode = status;
  } catch (error) {
    process.stderr.write(`${printableMessage(describe(error, debug))}\n`);
    process.exitCode = invocation.command === 'diff' ? DIFF_FAILED : 1;
  }
  // a library's timer or socket must not keep an ended sidecar alive
  process.exit();
}

function describe(error: unknown, withStack: boolean): string {
  if (withStack && error instanceof Error) return error.stack ?? error.message;
  if (!(error instanceof HeadraceError))
    return `error INTERNAL: ${messageOf(error)}\n  Run again with --debug for the stack trace, and please report it.`;
  return `error ${error.code}: ${messageOf(error)}${error.hint === '' ? '' : `\n  ${error.hint}`}`;
}
