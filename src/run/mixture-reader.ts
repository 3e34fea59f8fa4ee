/** The changes of a run's weights, for somebody who looks on: reads the run directory, and neither claims steps nor decides anything in it. */
import { HeadraceError } from '../core/errors.js';
import type { PlanRecord } from '../plan/cursor.js';
import type { MixtureChange } from '../plan/mixture-changes.js';
import { checkRun, readProposals, unusable, type Proposal } from './mixture-log.js';

export interface MixtureReaderOptions {
  readonly dir: string;
  readonly plan: PlanRecord;
  readonly warn?: ((message: string, detail: Readonly<Record<string, string | number>>) => void) | undefined;
}

export interface MixtureReader {
  /** All changes that hold, in order of their number. Errors: `RUN_DIRECTORY`, also where a change of `step` or an earlier one is undecided; `CONFIG_MISMATCH`. */
  through(step: number): Promise<readonly MixtureChange[]>;
}

/** The directory is read once: what was committed of steps that a run has made never changes. */
export function createMixtureReader({ dir, plan, warn }: MixtureReaderOptions): MixtureReader {
  let proposals: Promise<readonly Proposal[]> | undefined;
  const read = async (): Promise<readonly Proposal[]> => {
    try {
      await checkRun(dir, plan);
      return await readProposals(dir);
    } catch (error) {
      if (!isMissing(error)) throw unusable(dir, error, 'read');
      warn?.(`there is no run in ${dir}: changes of weights that were made while running are known from the cursor only`, { dir });
      return [];
    }
  };
  return {
    through: async (step) => {
      const all = await (proposals ??= read());
      const open = all.find(({ change, decision }) => decision === undefined && change.at <= step);
      if (open !== undefined) throw undecided(dir, open);
      return all.filter(({ decision }) => decision === 'commit').map(({ change }) => change);
    },
  };
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

/** A sidecar that needs the step decides it: so none has made it. */
function undecided(dir: string, { change: { at } }: Proposal): HeadraceError {
  return new HeadraceError(
    'RUN_DIRECTORY',
    `a change of the weights from step ${at} on is not decided yet: no sidecar has made that step`,
    {
      detail: { dir, step: at },
      hint: 'Ask again when the run has come to that step.',
    },
  );
}
