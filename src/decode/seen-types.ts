/** Types of values that no schema describes, in words: `string`, `integer`, `list<float>`. */

/** In order, each once. An integer among floats is one that happens to be whole, and an empty list goes with any other. */
export function settledTypes(types: Iterable<string>): string[] {
  const all = new Set(types);
  if (all.has('float')) all.delete('integer');
  if ([...all].some(isTypedList)) all.delete('list');
  return [...all].sort();
}

/** Whether a column of some shards and one of others may be one column: some value of one could be in the other. */
export function haveOneKind(here: readonly string[], there: readonly string[]): boolean {
  if (here.length === 0 || there.length === 0) return true; // null goes with any
  const others = new Set(there.map(asFloat));
  return here.some(
    (type) => others.has(asFloat(type)) || (isTypedList(type) && others.has('list')) || (type === 'list' && there.some(isTypedList)),
  );
}

function isTypedList(type: string): boolean {
  return type.startsWith('list<');
}

function asFloat(type: string): string {
  return type.replace(/\binteger\b/, 'float');
}
