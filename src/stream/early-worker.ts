/** Worker threads, the first of which may start before anybody knows what it will do: it loads its code while the main thread loads its own. */
import { Worker } from 'node:worker_threads';

let early: Worker | undefined;

/** For whoever will open a pool soon. One that cannot start is not missed: the pool's own attempt tells why. */
export function startWorkerEarly(): Worker {
  const worker = start();
  early = worker;
  const forget = (): void => {
    if (early === worker) early = undefined;
  };
  worker.on('error', forget);
  worker.on('exit', forget);
  return worker;
}

/** The one that was started early, once; else another one. */
export function takeWorker(): Worker {
  const worker = early ?? start();
  early = undefined;
  return worker;
}

function start(): Worker {
  return new Worker(new URL('./worker-thread.js', import.meta.url));
}
