/** `npm run demo`: sets up what the demo needs and runs it. Without Python it runs with the Node ranks only. */
import path from 'node:path';
import { ensurePython } from './python.mjs';
import { ROOT, run, setup } from './setup.mjs';

await setup();
let python = null;
try {
  python = ensurePython('');
} catch (error) {
  console.log(`no Python rank: its environment could not be made (${error.message.split('\n')[0]})`);
}
const env = { ...process.env, ...(python && { HEADRACE_DEMO_PYTHON: python }) };
try {
  run(process.execPath, [path.join(ROOT, 'dist', 'examples', 'demo', 'demo.js')], { env });
} catch (error) {
  process.exitCode = error.status ?? 1;
}
