import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/config.js';

const RIGHT = { sources: { web: { uri: '/data/' } }, sequence: { length: 8 }, batch: { size: 4 }, tokenizer: { file: '/t.json' } };

describe('a configuration that is wrong', () => {
  it.each([
    [{ validation: 0.1 }, 'validation: expected a map (share, by, seed), but it is 0.1'],
    [{ validation: { share: 1.5 } }, 'validation.share: expected a number below 1, but it is 1.5'],
    [{ validation: { share: 0 } }, 'validation.share: expected a number above 0, but it is 0'],
    [{ epochs: 0 }, 'epochs: expected a number of at least 1, but it is 0'],
    [{ batch: { size: 1.5 } }, 'batch.size: expected a whole number, but it is 1.5'],
    [{ batch: { size: '8' } }, 'batch.size: expected a number, but it is the text "8"'],
    [{ batch: null }, 'batch: expected a map (size, lanes), but it is empty'],
    [{ tokenizer: {} }, 'tokenizer.file is missing: expected text'],
    [{ sources: { web: {} } }, 'sources.web.uri is missing: expected text or a list'],
    [{ sources: { web: { uri: 5 } } }, 'sources.web.uri: expected text or a list, but it is 5'],
    [{ sources: [] }, 'sources: expected a map, but it is a list'],
    [{ mixture: {} }, 'mixture: expected a list, but it is a map'],
    [{ cache: { tokens: 'yes' } }, 'cache.tokens: expected true or false, but it is the text "yes"'],
    [{ last: 'drip' }, 'last: expected drop or pad, but it is the text "drip" (did you mean drop?)'],
    [
      { sequence: { length: 8, packing: 'bestfit' } },
      'sequence.packing: expected concat, best-fit, pad, none or samples, but it is the text "bestfit" (did you mean best-fit?)',
    ],
    [{ shuffle: 'x'.repeat(50) }, `shuffle: expected false or a map, but it is the text "${'x'.repeat(40)}…"`],
    [{ epoch: 1 }, 'unknown key epoch (did you mean epochs?)'],
  ])('%j is told in words, with what there is', (wrong, message) => {
    expect(() => parseConfig({ ...RIGHT, ...wrong }, '/')).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID', message }));
  });

  it('of another kind altogether is told so', () => {
    expect(() => parseConfig('x')).toThrow('the configuration: expected a map, but it is the text "x"');
  });
});
