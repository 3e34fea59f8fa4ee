/** Bounds of the run directory, each with its reason. */
export const RUN_LIMITS = {
  /** Steps that a sidecar claims at once: the batches that a client may have asked for, so that the directory is asked once in as many. */
  claimSteps: 64,
  /** How often a claim is renewed … */
  claimRenewMs: 20_000,
  /** … and after how long without that its sidecar counts as dead: three renewals, of which two may be late. */
  claimLeaseMs: 60_000,
  /** When what is left of a dead sidecar's claim is deleted: long after anybody would ask what became of it. */
  claimKeptMs: 24 * 3600_000,
  /** Tries of a change that counts from the furthest claim: each is lost only to a claim that was made in the same milliseconds. */
  proposalsMax: 5,
  /** Changes of one run; each start reads them all. A schedule of more belongs into the configuration. */
  changesMax: 10_000,
} as const;
