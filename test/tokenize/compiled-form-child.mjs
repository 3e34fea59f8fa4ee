/** A process of its own that loads a tokenizer three times. Arguments: file, cache directory, text. Prints the ids of each. */
import { loadTokenizer } from '../../dist/src/index.js';

const [file, cacheDir, text] = process.argv.slice(2);
const ids = [];
for (let i = 0; i < 3; i++) ids.push(Array.from((await loadTokenizer(file, { cacheDir })).encode(text)));
process.stdout.write(JSON.stringify(ids));
