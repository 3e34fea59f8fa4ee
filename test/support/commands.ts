/** Runs commands of the command line without a new process for each, which would load the same modules again: see `command-host.mjs`. */
import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll } from 'vitest';
import { endProcess } from './server-process.js';

const HOST = fileURLToPath(new URL('command-host.mjs', import.meta.url));

export interface CommandResult {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

let host: ChildProcess | undefined;
let last: Promise<unknown> = Promise.resolve();

afterAll(async () => {
  const ending = host;
  host = undefined;
  if (ending !== undefined) await endProcess(ending);
});

/** As `runCli`, one at a time. A command that hangs is ended with its test's file. */
export function runCommand(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<CommandResult> {
  const result = last.then(() => send(args, { ...process.env, ...env }));
  last = result.catch(() => undefined);
  return result;
}

function send(args: readonly string[], env: NodeJS.ProcessEnv): Promise<CommandResult> {
  const child = (host ??= fork(HOST, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }));
  return new Promise((resolve, reject) => {
    const onAnswer = (answer: CommandResult): void => {
      child.off('exit', onExit);
      resolve(answer);
    };
    const onExit = (code: number | null): void => {
      host = undefined;
      child.off('message', onAnswer);
      reject(new Error(`the process of the commands ended with ${String(code)} at ${args.join(' ')}`));
    };
    child.once('message', onAnswer).once('exit', onExit);
    child.send({ args, env });
  });
}
