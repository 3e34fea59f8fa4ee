/** The list of a data set's shards that wids writes beside them: JSON with the URL of each. Source: wids/wids_specs.py of webdataset. Pure. */
import * as z from 'zod';
import { HeadraceError } from '../core/errors.js';

const shardsSchema = z.array(z.looseObject({ url: z.string().min(1) })).min(1);
const descriptionSchema = z.looseObject({ shardlist: shardsSchema, base: z.string().optional(), datasets: z.undefined().optional() });
const listSchema = z.union([shardsSchema, descriptionSchema]);

const SCHEME = /^[a-z][a-z0-9+.-]*:\/\//i;

/** Of its shards, in their order; `undefined`: the text is no such list. `uri`: of the list, below whose directory the shards are where they do not say otherwise. */
export function listedShards(text: string, uri: string): string[] | undefined {
  const list = listSchema.safeParse(parsed(text));
  if (!list.success) return undefined;
  const { data } = list;
  const [shards, base] = Array.isArray(data) ? [data, undefined] : [data.shardlist, data.base];
  const directory = uri.slice(0, uri.lastIndexOf('/') + 1);
  const root = base === undefined ? directory : resolved(directory, base.endsWith('/') ? base : `${base}/`);
  return shards.map(({ url }) => resolved(root, url));
}

function resolved(root: string, url: string): string {
  if (SCHEME.test(url) || url.startsWith('/')) return url;
  return root + (url.startsWith('./') ? url.slice(2) : url);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function noShardList(uri: string): HeadraceError {
  return new HeadraceError('CONFIG_INVALID', `${uri} is no list of shards`, {
    detail: { uri },
    hint: 'A list names each shard, as wids does: {"shardlist": [{"url": "shard-000000.tar", "nsamples": 100}]}. Lists of lists (`datasets`) are not read: name each as a URI of the source.',
  });
}

/** The shards of one URI are read from one place. */
export function shardElsewhere(uri: string): HeadraceError {
  return new HeadraceError('CONFIG_INVALID', `${uri} is on a list of shards, and in another place than the list`, {
    detail: { uri },
    hint: 'Copy the list to where its shards are, or name the shards themselves as URIs of the source.',
  });
}
