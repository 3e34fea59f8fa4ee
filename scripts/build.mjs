/** `npm run build`: the WebAssembly kernels and the TypeScript, into `dist`. */
import { build } from './setup.mjs';

await build();
