/** Asks a sidecar to change the weights of its run: one message, one answer, no session. */
import { connect, type Socket } from 'node:net';
import { Dealer } from 'zeromq';
import { fromErrorRecord, HeadraceError, messageOf } from '../core/errors.js';
import type { MixtureChange } from '../plan/mixture-changes.js';
import { parseAddress, type Address } from '../wire/address.js';
import { decodeMessage, encodeHeader } from '../wire/messages.js';

export interface ChangeMixtureOptions {
  /** `ipc://PATH` or `tcp://127.0.0.1:PORT`: what `headrace serve` prints. Any sidecar of the run. */
  readonly address: string;
  /** The first step with other weights; or as many steps after the furthest that any sidecar of the run may have made. */
  readonly at: { readonly step: number } | { readonly after: number };
  /** By source; a source that is not named keeps its weight. */
  readonly weights: Readonly<Record<string, number>>;
  /** Steps in which the weights go from the old to the new ones; default 0: at once. */
  readonly ramp?: number;
  /** Longest wait for the answer; default 30 000. A change whose answer did not come may hold all the same. */
  readonly timeoutMs?: number;
}

/** More than two reads and writes of a slow shared directory. */
const TIMEOUT_MS_DEFAULT = 30_000;

/** Resolves when the change holds for every sidecar of the run. Errors: `MIXTURE_REFUSED`, `RUN_DIRECTORY`, `SIDECAR_UNREACHABLE`, `ADDRESS_INVALID`. */
export async function changeMixture(options: ChangeMixtureOptions): Promise<MixtureChange> {
  const { address, at, weights, ramp = 0, timeoutMs = TIMEOUT_MS_DEFAULT } = options;
  const parsed = parseAddress(address);
  checkNumbers([
    ...Object.entries(at),
    ['ramp', ramp],
    ...Object.entries(weights).map(([name, weight]) => [`the weight of ${name}`, weight] as const),
  ]);
  await checkListens(address, parsed, timeoutMs);
  const socket = new Dealer({ receiveTimeout: timeoutMs, sendTimeout: timeoutMs, linger: 0 });
  try {
    socket.connect(address);
    const [step, after] = 'step' in at ? [at.step, null] : [null, at.after];
    await socket.send(encodeHeader({ type: 'MIX', at: step, after, weights: { ...weights }, ramp }));
    const { message } = decodeMessage(await receive(socket, address, timeoutMs));
    if (message.type === 'ERROR') throw fromErrorRecord(message);
    if (message.type !== 'MIXED') throw new HeadraceError('BAD_MESSAGE', `the sidecar answered MIX with ${message.type}`);
    return { at: message.at, weights: message.weights, ramp: message.ramp };
  } finally {
    socket.close();
  }
}

/** JSON has no other numbers: a sidecar would not know what was meant. Errors: `MIXTURE_REFUSED`. */
function checkNumbers(numbers: readonly (readonly [what: string, value: number])[]): void {
  for (const [what, value] of numbers) {
    if (Number.isFinite(value)) continue;
    throw new HeadraceError('MIXTURE_REFUSED', `${what} is ${value}, which is no number that a change could have`, {
      hint: 'Weights are finite numbers, 0 or more; steps and ramps are whole ones.',
    });
  }
}

/** ZeroMQ tries again for ever where nobody listens: a command that a user waits for says so at once. Errors: `SIDECAR_UNREACHABLE`. */
async function checkListens(address: string, parsed: Address, timeoutMs: number): Promise<void> {
  let probe: Socket | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      const at =
        parsed.transport === 'ipc' ? { path: parsed.path } : { host: parsed.host.replace(/^\[|\]$/g, ''), port: Number(parsed.port) };
      probe = connect({ ...at, timeout: timeoutMs }, resolve);
      probe.once('error', reject);
      probe.once('timeout', () => reject(new Error(`it took no connection within ${timeoutMs} ms`)));
    });
  } catch (error) {
    throw new HeadraceError('SIDECAR_UNREACHABLE', `no sidecar listens at ${address}: ${messageOf(error)}`, {
      detail: { address },
      hint: 'Check that `headrace serve` runs on this machine, as this user, and that this is the address that it printed. Nothing was asked of it.',
      cause: error,
    });
  } finally {
    probe?.destroy();
  }
}

async function receive(socket: Dealer, address: string, timeoutMs: number): Promise<readonly Buffer[]> {
  try {
    return await socket.receive();
  } catch (error) {
    throw new HeadraceError('SIDECAR_UNREACHABLE', `no sidecar answered at ${address} within ${timeoutMs} ms`, {
      detail: { address },
      hint: 'Check that `headrace serve` runs on this machine, with this address, as this user; then look whether the change holds before you ask again.',
      cause: error,
    });
  }
}
