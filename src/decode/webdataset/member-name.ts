/** What a name in a tar means: which sample, and which member of it. The rules are those of webdataset's `base_plus_ext` and `group_by_keys`. */

export interface MemberName {
  /** The path up to the first dot of the base name. */
  readonly key: string;
  /** All after that dot, in lower case. */
  readonly member: string;
}

/** As webdataset has it, down to names that start with a dot: `a/.b` is the member `b` of `a/`. */
const NAME = /^((?:[^\n]*\/|)[^.]+)[.]([^/]*)$/;
/** What writers keep beside the samples: `__meta__.json`, `__wds__/…`. */
const META = /^__[^/]*__(?:$|\/)/;

/** `undefined`: the name is of no sample. */
export function memberName(name: string): MemberName | undefined {
  if (META.test(name)) return undefined;
  const slash = name.lastIndexOf('/') + 1;
  const dot = name.indexOf('.', slash);
  if (dot < 0) return undefinedUnlessOdd(name);
  // the usual case, without the pattern: a base name that starts with no dot, in a directory without a line end
  if (dot > slash && (slash === 0 || !name.slice(0, slash).includes('\n')))
    return { key: name.slice(0, dot), member: name.slice(dot + 1).toLowerCase() };
  return undefinedUnlessOdd(name);
}

function undefinedUnlessOdd(name: string): MemberName | undefined {
  const match = NAME.exec(name);
  return match === null ? undefined : { key: match[1], member: match[2].toLowerCase() };
}
