/** What chat templates and transforms call the columns of a row: the same in every format, and known from the configuration alone. */

const JSON_ENDINGS: readonly string[] = ['json', 'jsn'];
const MEMBER_ENDINGS: readonly string[] = [...JSON_ENDINGS, 'txt'];

/**
 * The last part of the column's name: `tools` of `tools`, of `meta.tools`, and of `json.tools` in a tar; of a member of a tar without its ending, `tools` of
 * `tools.json`; of several members as of the first.
 */
export function variableName(column: string): string {
  const [first] = column.split(';', 1);
  const parts = first.trim().split('.');
  const last = parts[parts.length - 1];
  const isMember = parts.length > 1 && MEMBER_ENDINGS.includes(last.toLowerCase());
  const isInJson = parts.slice(0, -1).some((part) => JSON_ENDINGS.includes(part.toLowerCase()));
  const name = isMember && !isInJson ? parts[parts.length - 2] : last;
  return name === '' ? column : name;
}

/** Two of a row's columns with one name; `undefined`: there are none. `main` keeps the name that it has. */
export function sameVariable(
  main: string,
  columns: readonly string[],
): { readonly name: string; readonly columns: readonly [string, string] } | undefined {
  const byName = new Map([[main, main]]);
  for (const column of columns) {
    if (column === main) continue;
    const name = variableName(column);
    const other = byName.get(name);
    if (other !== undefined) return { name, columns: [other, column] };
    byName.set(name, column);
  }
  return undefined;
}
