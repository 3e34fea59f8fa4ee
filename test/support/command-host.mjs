/**
 * A process that runs commands one after another, each as `headrace ARGS` would: what takes most of a short command is loading its modules, and that is done
 * once. `commands.ts` sends the arguments and the environment, and gets the status and the output.
 */
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const cli = pathToFileURL(path.join(import.meta.dirname, '..', '..', 'dist', 'command', 'headrace.js')).href;

/** Thrown where a command would end its process. */
class Ended extends Error {}

const end = process.exit.bind(process);
process.exit = (code) => {
  process.exitCode = code ?? process.exitCode;
  throw new Ended();
};

let output = { out: '', err: '' };
for (const [name, stream] of [
  ['out', process.stdout],
  ['err', process.stderr],
]) {
  stream.write = (chunk, ...rest) => {
    output[name] += Buffer.from(chunk).toString();
    rest.find((argument) => typeof argument === 'function')?.();
    return true;
  };
}

let commands = 0;

async function run(args, env) {
  output = { out: '', err: '' };
  for (const name of Object.keys(process.env)) if (!(name in env)) Reflect.deleteProperty(process.env, name);
  Object.assign(process.env, env);
  process.argv = [process.execPath, cli, ...args];
  process.exitCode = undefined;
  try {
    // the command line itself is a new module each time; what it imports is the same
    await import(`${cli}?command=${commands++}`);
  } catch (error) {
    if (!(error instanceof Ended)) throw error;
  }
  const code = process.exitCode ?? 0;
  process.exitCode = undefined;
  // a process that ends takes them with it
  for (const signal of ['SIGINT', 'SIGTERM']) process.removeAllListeners(signal);
  for (const stream of [process.stdout, process.stderr]) stream.removeAllListeners('error');
  return { code, ...output };
}

process.on('message', ({ args, env }) => {
  run(args, env).then(
    (answer) => process.send(answer),
    (error) => process.send({ code: null, out: '', err: `the host failed: ${error.stack}` }),
  );
});
process.on('disconnect', () => end(0));
