/** What is said of repeats and of waits. */
import { median } from '../processes.js';

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export function spreadOf(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/** The nearest-rank percentile: of `values` at least `share` are at most that. */
export function percentile(values: readonly number[], share: number): number {
  if (values.length === 0) return NaN;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}

/** Ratios within each repeat: a machine's speed wanders between them. */
export function ratiosOf(values: readonly number[], references: readonly number[]): number[] {
  const pairs = Math.min(values.length, references.length);
  return Array.from({ length: pairs }, (_, i) => values[i] / references[i]);
}

/** Three digits that count, or more before the point. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (value === 0) return '0';
  return value.toFixed(Math.max(0, Math.min(4, 2 - Math.floor(Math.log10(Math.abs(value))))));
}

/** `median (min–max)`; the median alone of one value. */
export function shown(values: readonly number[]): string {
  if (values.length === 0) return '–';
  const { median: middle, min, max } = spreadOf(values);
  return values.length === 1 ? figure(middle) : `${figure(middle)} (${figure(min)}–${figure(max)})`;
}
