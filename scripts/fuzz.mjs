/** `npm run fuzz -- --minutes N [--seed S]`: damaged files of every format, read for so long a format; prints the seed of each problem. */
import { parseArgs } from 'node:util';
import { ensurePython } from './python.mjs';
import { runTool, setup } from './setup.mjs';

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '10' }, seed: { type: 'string' } } });
await setup();
const python = ensurePython('test');
if (python === null) throw new Error('python3 is missing: the files are written, and read for comparison, by Python libraries');
const env = {
  ...process.env,
  HEADRACE_PYTHON: python,
  HEADRACE_FUZZ_MINUTES: values.minutes,
  ...(values.seed && { HEADRACE_FUZZ_SEED: values.seed }),
};
runTool('vitest', ['run', 'test/fuzz'], { env });
