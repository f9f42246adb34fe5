/** What the updater asks of a release repository, and what it hears. `Releases` is the real one. */
import { z } from "zod";
import type { EpochMs } from "../../lib/brand.ts";
import type { Fault } from "../../lib/fault.ts";
import type { DesiredState } from "../../release/desired.ts";
import { Sha256, type TargetCustom } from "../../release/repository.ts";

const version = z.int().nonnegative();

/**
 * The highest versions of metadata that were ever verified here. The caller keeps them where a lost or
 * torn metadata file does not take them along, and hands them in again: lower ones are refused.
 */
export const Floors = z.strictObject({
  /** sha256 of the pinned root: numbers of another trust anchor say nothing. */
  anchor: Sha256,
  root: version,
  /** Fingerprint of the keys of timestamp and snapshot: with new keys the three below start anew (TUF 5.3.11). */
  onlineKeys: Sha256,
  timestamp: version,
  snapshot: version,
  targets: version,
});
export type Floors = z.infer<typeof Floors>;

/** What the director wants: the repository must list exactly this. */
export type WantedPack = DesiredState["pack"];

/**
 * Why there is no update. None of them stops what runs; `fault.retry` is `never` where only another
 * desired state can help.
 *
 * Metadata: `tuf_rollback`, `tuf_expired`, `tuf_signature`, `tuf_mix` (parts of different releases),
 * `tuf_malformed`, `tuf_root_unreadable` (the pinned root), `metadata_unwritable`.
 * Target: `target_missing` (not listed, or delisted), `target_invalid`, `target_disagrees` (listed with
 * another sha256 or release counter than the director says), `wrong_hardware`, `runtime_too_old`.
 * Transfer: `fetch_failed`, `fetch_refused` (HTTP status), `fetch_timeout`, `fetch_slow`, `too_large`,
 * `tuf_hash` (bytes are not those that were signed), `low_disk`, `insecure_redirect`,
 * `credential_unreadable`. Ours: `check_failed`.
 */
export interface Refused {
  readonly kind: "refused";
  readonly fault: Fault;
  /** Genuine metadata past its date: no update until the publisher renews it, and an alarm. */
  readonly isExpired: boolean;
}

export interface Found {
  readonly kind: "found";
  readonly target: TargetCustom;
  /** Verified bytes of `pack.json`; they parse as a `Pack` that agrees with `target`. */
  readonly packJson: Uint8Array;
}

export interface Checked {
  readonly outcome: Found | Refused;
  /** To be kept before anything else is done with the outcome, also when it is a refusal. */
  readonly floors: Floors | undefined;
  /** When the newest verified timestamp was signed: it cannot be earlier now. */
  readonly issuedAt: EpochMs | undefined;
}

export interface ReleaseSource {
  /**
   * Fetches and verifies the metadata and the wanted pack's `pack.json`.
   *
   * @param now not before the time floor: by this time dates are judged
   * @throws only when `signal` aborts
   */
  readonly check: (
    wanted: WantedPack,
    floors: Floors | undefined,
    now: EpochMs,
    signal: AbortSignal,
  ) => Promise<Checked>;
  /**
   * Fetches one file of a pack into `into`, which appears whole and synced or not at all. What came
   * before an end is kept in `<into>.part` and gone on from.
   *
   * @param onProgress bytes that are there
   * @throws Fault of a transfer, see {@link Refused}
   */
  readonly fetchBlob: (
    blob: { readonly sha256: string; readonly bytes: number },
    into: string,
    onProgress: (received: number) => void,
    signal: AbortSignal,
  ) => Promise<void>;
  /**
   * The desired state that the repository holds for a device: an Envelope whose signature is still to be
   * verified.
   *
   * @returns undefined where there is none. @throws Fault of a transfer
   */
  readonly fetchDesired: (address: string, signal: AbortSignal) => Promise<string | undefined>;
}
