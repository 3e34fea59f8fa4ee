/** `headrace mix ADDRESS --at +200 web=0.7 code=0.3`: changes the weights of a run that goes on. */
import { changeMixture } from '../../src/client/change-mixture.js';

export interface MixOptions {
  readonly address: string;
  readonly at: { readonly step: number } | { readonly after: number };
  readonly weights: Readonly<Record<string, number>>;
  readonly ramp: number;
  readonly json: boolean;
}

/** Returns the exit status. Errors: those of `changeMixture`. */
export async function mix(options: MixOptions): Promise<number> {
  const { at, weights, ramp } = await changeMixture(options);
  const names = Object.entries(weights).map(([name, weight]) => `${name}=${weight}`);
  const along = ramp > 1 ? `, in ${ramp} steps` : '';
  process.stdout.write(options.json ? `${JSON.stringify({ at, weights, ramp })}\n` : `from step ${at} on: ${names.join(' ')}${along}\n`);
  return 0;
}
