/** The package's version, as its package.json says. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const packageJson = createRequire(import.meta.url).resolve('headrace/package.json');

export const VERSION = (JSON.parse(readFileSync(packageJson, 'utf8')) as { readonly version: string }).version;
