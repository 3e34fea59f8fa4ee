/** Finds the servers that tests use, and builds one that is missing: `go install`, into a cache outside the checkout. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';

const cache = path.join(process.env.XDG_CACHE_HOME || path.join(homedir(), '.cache'), 'headrace-test', 'bin');

export const ensureMinio = () => ensureServer('minio', 'github.com/minio/minio@latest', process.env.HEADRACE_MINIO);
/** With the version that bench/README.md was written with. */
export const ensureVersitygw = () =>
  ensureServer('versitygw', 'github.com/versity/versitygw/cmd/versitygw@v1.7.0', process.env.HEADRACE_VERSITYGW);
export const ensureFakeGcs = () =>
  ensureServer('fake-gcs-server', 'github.com/fsouza/fake-gcs-server@latest', process.env.HEADRACE_FAKE_GCS);

/** The binary's path; null where there is none and it cannot be built. `given`: where the caller says that it is. */
function ensureServer(name, module, given) {
  const found = [given, path.join(cache, name)].find((file) => file && existsSync(file));
  if (found) return found;
  const installed = spawnSync('which', [name], { encoding: 'utf8' }).stdout?.trim();
  if (installed) return installed;
  if (spawnSync('go', ['version']).status !== 0) return null;
  console.log(`building ${name} with go install, once (some minutes) …`);
  mkdirSync(cache, { recursive: true });
  try {
    execFileSync('go', ['install', module], { env: { ...process.env, GOBIN: cache }, stdio: 'inherit' });
  } catch {
    return null;
  }
  return path.join(cache, name);
}
