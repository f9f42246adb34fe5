/** What the updater (`src/update`) needs of the rest, as ports: the store and `app.ts` fill them. */
import type { Pack } from "../embedding/pack.ts";
import type { SpaceId } from "../lib/brand.ts";
import type { PackLoaded } from "../observation/messages.ts";
import type { ShadowStats } from "./report.ts";
import type { Deferral } from "./state.ts";

/** A pack on disk, verified. */
export interface PackOnDisk {
  readonly directory: string;
  readonly pack: Pack;
  /** Of `pack.json`. */
  readonly sha256: string;
}

export interface SelfTest {
  readonly loaded: PackLoaded;
  /** Least cosine over the golden vectors. */
  readonly goldenCosine: number;
  /** 95th percentile of one embedder run, ms. */
  readonly p95Ms: number;
  readonly rssBytes: number;
}

export interface Reembedded {
  readonly identities: number;
  readonly templates: number;
  /** Identities without a kept crop: they have no template in the new space. */
  readonly withoutCrops: readonly string[];
}

/** A second vision process without cameras, with the candidate's models. Ends when disposed. */
export interface Candidate extends AsyncDisposable {
  /** @throws Fault `self_test_*` */
  readonly selfTest: (signal: AbortSignal) => Promise<SelfTest>;
  /**
   * Fills the candidate's space from the kept source crops, identity by identity in order of id. Rows
   * and cursor are one transaction; what is there already is passed over, so that it may begin again.
   *
   * @param cursor the last identity that is done; undefined at the beginning
   */
  readonly reembed: (
    cursor: string | undefined,
    onProgress: (cursor: string, done: number, total: number) => void,
    signal: AbortSignal,
  ) => Promise<Reembedded>;
  /** Looks at sampled live frames beside the active pack until enough were seen. @throws Fault `shadow_*` */
  readonly shadow: (
    onProgress: (stats: ShadowStats) => void,
    signal: AbortSignal,
  ) => Promise<ShadowStats>;
}

/** What is watched while a pack is on probation, since the switch. */
export interface ProbationSample {
  readonly elapsedMs: number;
  readonly visionExits: number;
  readonly frames: number;
  readonly failedFrames: number;
  /** 95th percentile of one face step, ms. */
  readonly p95Ms: number;
  readonly grants: number;
  readonly denials: number;
  /** Least cosine of the sentinel vectors' last run. */
  readonly sentinelCosine: number | undefined;
}

/** The running appliance as the updater sees it. */
export interface Runtime {
  readonly active: () => PackOnDisk;
  /** @throws Fault of `load-pack`: the pack cannot run here */
  readonly openCandidate: (pack: PackOnDisk, signal: AbortSignal) => Promise<Candidate>;
  /** Whether every identity that has templates in the active space has some in that one. */
  readonly coverage: (spaceId: SpaceId) => { readonly missing: readonly string[] };
  /**
   * Serves with that pack from now on: vision process, gallery and threshold together. No frame gap
   * above 1 s. @throws Fault, and the pack that served before serves on
   */
  readonly switchTo: (pack: PackOnDisk, signal: AbortSignal) => Promise<void>;
  /** Since the last {@link switchTo}. */
  readonly probation: () => ProbationSample;
  /** Why this is no good moment. */
  readonly deferral: () => Deferral | undefined;
}
