/** What a check found: a bounded number of lines, and how many there are in all. */

export class ProblemList {
  readonly lines: string[] = [];
  count = 0;
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  add(line: string): void {
    this.count++;
    if (this.lines.length < this.#max) this.lines.push(line);
  }
}
