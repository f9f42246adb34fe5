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
  /** Identities with a crop that does not open or cannot be embedded: passed over. */
  readonly broken: readonly string[];
}

/** A second vision process without cameras, with the candidate's models. Ends when disposed. */
export interface Candidate extends AsyncDisposable {
  /** @throws Fault `self_test_golden`, `self_test_unstable`, `self_test_slow`, `self_test_memory`, `self_test_crashed` */
  readonly selfTest: (signal: AbortSignal) => Promise<SelfTest>;
  /**
   * Fills the candidate's space from the kept source crops, identity by identity in order of id. Rows
   * and cursor are one transaction; what is there already is passed over, so that it may begin again.
   *
   * @param cursor the last identity that is done, as it was last reported; undefined at the beginning. The
   *   store keeps its own beside the rows: the later one counts
   * @throws Fault `candidate_lost` (retry later): the process ended; what is stored stays
   */
  readonly reembed: (
    cursor: string | undefined,
    onProgress: (cursor: string, done: number, total: number) => void,
    signal: AbortSignal,
  ) => Promise<Reembedded>;
  /**
   * Looks at sampled live frames beside the active pack until enough were seen.
   *
   * @throws Fault with the code of a `ShadowVerdict` that failed, `candidate_lost`
   */
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
  /** While the pack before served, as far as this process remembers. */
  readonly before: { readonly grants: number; readonly denials: number };
  /** Least cosine of the golden vectors' last run in the serving process; undefined before the first. */
  readonly sentinel: { readonly cosine: number; readonly cosineMin: number } | undefined;
}

/** The running appliance as the updater sees it. */
export interface Runtime {
  readonly active: () => PackOnDisk;
  /**
   * @throws Fault `self_test_golden`, `self_test_crashed`, `self_test_slow` (it does not load in time),
   *   or of `load-pack` (`pack_corrupt`, `model_mismatch`, `provider_unavailable`): the pack cannot run here
   */
  readonly openCandidate: (pack: PackOnDisk, signal: AbortSignal) => Promise<Candidate>;
  /** Whether every identity that has templates in the active space has some in that one. */
  readonly coverage: (spaceId: SpaceId) => { readonly missing: readonly string[] };
  /**
   * Serves with that pack from now on: vision process, gallery and threshold together. No frame gap
   * above 1 s. @throws Fault, and the pack that served before serves on
   */
  readonly switchTo: (pack: PackOnDisk, signal: AbortSignal) => Promise<void>;
  /**
   * Removes the templates of every space but these and the active one; source crops stay. For spaces of
   * packs that are on this device no more, and of a candidate that failed.
   */
  readonly retainSpaces: (spaceIds: readonly SpaceId[]) => void;
  /** Since the last {@link switchTo}, or since the start. */
  readonly probation: () => ProbationSample;
  /** Why this is no good moment. */
  readonly deferral: () => Deferral | undefined;
}
