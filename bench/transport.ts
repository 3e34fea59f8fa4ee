/** The transport alone: batches of a given size from a ROUTER in one process to a DEALER in another, over ipc. `npm run bench -- transport`. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Dealer, Router } from 'zeromq';
import { spread } from './processes.js';

const BYTES_TOTAL = 2 * 2 ** 30;
const CREDITS = 4;
const REPEATS = 5;

/** The sending process: answers each credit with one message. */
async function send(address: string, messageBytes: number): Promise<void> {
  const router = new Router({ mandatory: true, linger: 0 });
  await router.bind(address);
  process.send?.('bound');
  const body = Buffer.alloc(messageBytes, 1);
  for await (const [identity] of router) await router.send([identity, 'header', body]);
}

/** The receiving process, which measures. */
async function receive(address: string, messageBytes: number): Promise<number> {
  const dealer = new Dealer({ linger: 0 });
  dealer.connect(address);
  for (let i = 0; i < CREDITS; i++) await dealer.send('credit');
  await dealer.receive();
  const started = performance.now();
  let bytes = 0;
  while (bytes < BYTES_TOTAL) {
    await dealer.send('credit');
    const [, body] = await dealer.receive();
    if (body.length !== messageBytes) throw new Error(`a message of ${body.length} bytes`);
    bytes += body.length;
  }
  const seconds = (performance.now() - started) / 1000;
  dealer.close();
  return bytes / seconds;
}

async function main(): Promise<void> {
  const dir = await mkdtemp(path.join(tmpdir(), 'headrace-transport-'));
  console.log('| message | GB/s over ipc, Node to Node |\n| --- | --- |');
  for (const kib of [64, 256, 512, 1024]) {
    const rates: number[] = [];
    for (let repeat = 0; repeat < REPEATS; repeat++) {
      const address = `ipc://${dir}/${kib}-${repeat}.sock`;
      const child = fork(fileURLToPath(import.meta.url), ['send', address, String(kib * 1024)]);
      await once(child, 'message');
      rates.push((await receive(address, kib * 1024)) / 1e9);
      child.kill('SIGKILL');
    }
    console.log(`| ${kib} KiB | ${spread(rates, 2)} |`);
  }
  await rm(dir, { recursive: true });
}

const [, , mode, address, bytes] = process.argv;
if (mode === 'send') {
  await send(address, Number(bytes));
} else {
  await main();
  process.exit();
}
