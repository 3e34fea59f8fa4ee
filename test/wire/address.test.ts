import { describe, expect, it } from 'vitest';
import { parseAddress } from '../../src/wire/address.js';

describe('addresses', () => {
  it('are ipc paths, or loopback hosts with a port', () => {
    expect(parseAddress('ipc:///tmp/a.sock')).toEqual({ transport: 'ipc', path: '/tmp/a.sock' });
    expect(parseAddress('tcp://127.0.0.1:7070')).toEqual({ transport: 'tcp', host: '127.0.0.1', port: '7070' });
    expect(parseAddress('tcp://[::1]:1')).toMatchObject({ host: '[::1]' });
  });
  it.each(['', 'ipc://', 'http://x', 'tcp://127.0.0.1', 'tcp://10.0.0.1:7070', 'tcp://*:7070', `ipc:///${'x'.repeat(103)}`])(
    'refuses %j',
    (address) => {
      expect(() => parseAddress(address)).toThrow(expect.objectContaining({ code: 'ADDRESS_INVALID' }));
    },
  );
});
