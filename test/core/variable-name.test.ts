import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/config.js';
import { sameVariable, variableName } from '../../src/core/variable-name.js';

describe('the name of a column in a row', () => {
  it.each([
    ['tools', 'tools'],
    ['meta.tools', 'tools'],
    ['a.b.tools', 'tools'],
    ['json.tools', 'tools'],
    ['json.data.txt', 'txt'],
    ['data.json.a', 'a'],
    ['tools.json', 'tools'],
    ['system.txt', 'system'],
    ['a.tools.JSN', 'tools'],
    ['json', 'json'],
    ['txt', 'txt'],
    ['system.txt;json.prompt', 'system'],
    ['odd.', 'odd.'],
  ])('%s is %s', (column, name) => {
    expect(variableName(column)).toBe(name);
  });

  it('is one for one column, the main one included, which keeps its own', () => {
    expect(sameVariable('chat.messages', ['chat.messages', 'meta.tools', 'messages'])).toBeUndefined();
    expect(sameVariable('text', ['text', 'a.tools', 'tools.json'])).toEqual({ name: 'tools', columns: ['a.tools', 'tools.json'] });
    expect(sameVariable('text', ['text', 'meta.text'])).toEqual({ name: 'text', columns: ['text', 'meta.text'] });
  });

  it('that two columns have is refused by the configuration, and so is one that a chat has taken', () => {
    const parse = (source: object) => (): unknown =>
      parseConfig({ sources: { a: { uri: 'a/', ...source } }, tokenizer: { file: 't.json' }, sequence: { length: 8 } });
    const error = (columns: string): unknown =>
      expect.objectContaining({ code: 'CONFIG_INVALID', detail: expect.objectContaining({ columns }) });
    expect(parse({ messages: 'chat', columns: ['json.tools', 'tools.json'] })).toThrow(error('json.tools, tools.json'));
    expect(parse({ transform: 'a.js', columns: ['meta.text'] })).toThrow(error('text, meta.text'));
    expect(parse({ messages: 'chat', columns: ['meta.messages'] })).toThrow(/messages to a template/);
    expect(parse({ messages: 'chat.messages', columns: ['meta.tools'] })).not.toThrow();
  });
});
