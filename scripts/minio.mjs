/** Finds the MinIO binary that tests use, and builds it where it is missing: `go install`, into a cache outside the checkout. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';

const cache = path.join(process.env.XDG_CACHE_HOME || path.join(homedir(), '.cache'), 'headrace-test', 'bin');

/** The binary's path; null where there is none and it cannot be built. */
export function ensureMinio() {
  const found = [process.env.HEADRACE_MINIO, path.join(cache, 'minio')].find((file) => file && existsSync(file));
  if (found) return found;
  const installed = spawnSync('which', ['minio'], { encoding: 'utf8' }).stdout?.trim();
  if (installed) return installed;
  if (spawnSync('go', ['version']).status !== 0) return null;
  console.log('building MinIO with go install, once (some minutes) …');
  mkdirSync(cache, { recursive: true });
  try {
    execFileSync('go', ['install', 'github.com/minio/minio@latest'], { env: { ...process.env, GOBIN: cache }, stdio: 'inherit' });
  } catch {
    return null;
  }
  return path.join(cache, 'minio');
}
