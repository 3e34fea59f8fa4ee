/** The sidecar's log: JSON lines for machines, pretty lines for a terminal; always on standard error, so that standard output holds the ready line only. */
import { pino, type Logger } from 'pino';

export type LogFormat = 'json' | 'pretty';

export async function createLogger(format: LogFormat, level: string): Promise<Logger> {
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime };
  if (format === 'json') return pino(options, pino.destination({ dest: 2, sync: true }));
  const { default: pretty } = await import('pino-pretty');
  return pino(options, pretty({ destination: 2, sync: true, translateTime: 'HH:MM:ss', colorize: process.stderr.isTTY }));
}
