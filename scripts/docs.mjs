/** `npm run docs`: writes the generated pages of docs/. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { ROOT, setup } from './setup.mjs';

await setup();
const { configurationReference } = await import('../dist/src/config/reference.js');
writeFileSync(path.join(ROOT, 'docs', 'configuration.md'), configurationReference());
