/** `headrace audit CONFIG`: checks what the ledger of a run says against the plan, and some of its steps by computing them again. */
import { auditLedger, type AuditReport, type CheckResult } from '../../src/auditing.js';
import { loadConfig } from '../../src/config/config.js';
import { HeadraceError } from '../../src/core/errors.js';
import { runInterruptible } from '../interruption.js';

export interface AuditCommandOptions {
  readonly configFile: string;
  /** In place of the configuration's. */
  readonly ledgerDir: string | undefined;
  readonly sample: number;
  readonly seed: number | undefined;
  readonly json: boolean;
}

/** Returns the exit status: 0, or 128 + its number after a signal. Errors: `AUDIT_FAILED` after the report, and those of `auditLedger`. */
export function audit({ configFile, ledgerDir, sample, seed, json }: AuditCommandOptions): Promise<number> {
  return runInterruptible(async (signal) => {
    const config = await loadConfig(configFile);
    const dir = ledgerDir ?? config.ledgerDir;
    if (dir === undefined) {
      throw new HeadraceError(
        'CONFIG_INVALID',
        'there is no ledger to audit: neither --ledger nor `ledger` in the configuration is given',
        {
          detail: { field: 'ledger' },
          hint: 'Name the directory that the run wrote.',
        },
      );
    }
    const warn = (message: string): void => void process.stderr.write(`${message}\n`);
    const report = await auditLedger(config, { dir, sample, seed, signal, warn });
    process.stdout.write(json ? `${JSON.stringify(report)}\n` : reportText(report));
    if (report.passed) return;
    const failed = report.checks.filter(({ outcome }) => outcome === 'failed').map(({ check }) => check);
    throw new HeadraceError('AUDIT_FAILED', `the ledger ${dir} fails: ${failed.join(', ')}`, {
      detail: { dir, checks: failed.join(' ') },
      hint: 'The report says what was found, and where; docs/ledger.md what it may mean.',
    });
  });
}

function reportText({ dir, checks, skipped }: AuditReport): string {
  const rows = skipped.map(({ source, reason, rows: number }) => `  left out: ${number} rows of ${source} (${reason})\n`);
  return [`ledger ${dir}\n`, ...checks.flatMap(checkLines), ...rows].join('');
}

const MARKS = { passed: '✓', failed: '✗', 'not made': '·' } as const;
const NAME_CELLS = 14;

function checkLines({ check, outcome, facts, problems, problemCount }: CheckResult): string[] {
  const said = outcome === 'not made' ? 'not made: the ledger does not hold together, or is of another plan' : facts;
  const more = problemCount - problems.length;
  return [
    `${MARKS[outcome]} ${check.padEnd(NAME_CELLS)}${said}\n`,
    ...problems.map((problem) => `    ${problem}\n`),
    ...(more > 0 ? [`    and ${more} more\n`] : []),
  ];
}
