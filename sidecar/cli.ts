#!/usr/bin/env node
/** The command line: what was asked for becomes one value, which is then run. */
import { Command, Option } from 'commander';
import { HeadraceError, messageOf } from '../src/core/errors.js';
import { VERSION } from '../src/core/version.js';
import type { LogFormat } from './log.js';
import type { ServeOptions } from './commands/serve.js';

type Invocation = { readonly command: 'serve'; readonly options: ServeOptions };

interface GlobalOptions {
  readonly debug: boolean;
}

interface ServeFlags {
  readonly address?: string;
  readonly logFormat?: LogFormat;
  readonly logLevel: string;
  readonly exitWithStdin: boolean;
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
  program.parse(argv);
  return { invocation, debug: program.opts<GlobalOptions>().debug };
}

const { invocation, debug } = parseArguments(process.argv);
if (invocation !== undefined) {
  try {
    // loaded when needed: --help and a wrong option answer at once
    const { serve } = await import('./commands/serve.js');
    process.exitCode = await serve(invocation.options);
  } catch (error) {
    process.stderr.write(`${describe(error, debug)}\n`);
    process.exitCode = 1;
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
