/** Plots of bars, as plain SVG: a bar a row with the median, and a whisker from the least to the greatest. */
import { figure, type Spread } from './statistics.js';

export interface Bar {
  readonly label: string;
  readonly spread: Spread;
  readonly isOwn: boolean;
}

const WIDTH = 760;
const LABEL_WIDTH = 250;
const VALUE_WIDTH = 90;
const ROW_HEIGHT = 26;
const TOP = 46;
const OWN_COLOUR = '#1f6f8b';
const PEER_COLOUR = '#b4b9bf';

/** The longest bar, or whisker, fills the width. */
export function barPlot(title: string, unit: string, bars: readonly Bar[]): string {
  const room = WIDTH - LABEL_WIDTH - VALUE_WIDTH;
  const greatest = Math.max(...bars.map(({ spread }) => spread.max), Number.MIN_VALUE);
  const x = (value: number): number => LABEL_WIDTH + (room * value) / greatest;
  const height = TOP + bars.length * ROW_HEIGHT + 12;
  const rows = bars.map(({ label, spread, isOwn }, i) => {
    const y = TOP + i * ROW_HEIGHT;
    const middle = y + ROW_HEIGHT / 2;
    return [
      `<text x="${LABEL_WIDTH - 8}" y="${middle + 4}" text-anchor="end">${escaped(label)}</text>`,
      `<rect x="${LABEL_WIDTH}" y="${y + 4}" width="${round(x(spread.median) - LABEL_WIDTH)}" height="${ROW_HEIGHT - 8}" fill="${isOwn ? OWN_COLOUR : PEER_COLOUR}"/>`,
      `<path d="M${round(x(spread.min))} ${middle}H${round(x(spread.max))}" stroke="#333" stroke-width="1.5"/>`,
      `<text x="${round(x(spread.max) + 6)}" y="${middle + 4}">${figure(spread.median)}</text>`,
    ].join('\n');
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    `<text x="12" y="20" font-size="14" font-weight="bold">${escaped(title)}</text>`,
    `<text x="12" y="36" fill="#555">${escaped(unit)}</text>`,
    ...rows,
    '</svg>\n',
  ].join('\n');
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escaped(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');
}
