/** What the doorkeeper needs from the rest of the appliance, and what it tells of itself. */
import type { Gallery } from "../gallery/index-port.ts";
import type { CameraId, DoorId } from "../lib/brand.ts";
import type { Clock } from "../lib/clock.ts";
import type { MatchOptions } from "../match/options.ts";
import type { Threshold } from "../match/threshold.ts";
import type { Decision } from "./decision.ts";
import type { DecisionLedger } from "./ledger.ts";
import type { DecisionOptions } from "./options.ts";
import type { AccessRules, DoorMode } from "./rules.ts";
import type { TrackView } from "./view.ts";

export interface DoorkeeperOptions {
  readonly decision: DecisionOptions;
  readonly match: Pick<MatchOptions, "marginMin" | "candidates">;
}

export interface DoorkeeperDeps {
  readonly gallery: Gallery;
  /** For the gallery's size now. */
  readonly threshold: () => Threshold;
  readonly ledger: DecisionLedger;
  readonly rules: () => AccessRules;
  readonly doorMode: (doorId: DoorId) => DoorMode;
  readonly clockTrusted: () => boolean;
  /** The pack in force may not open doors here: nobody is granted. */
  readonly demoOnly: boolean;
  /** A condition of the site's policy (provider, pack) is not met: nobody is granted. */
  readonly degraded: () => boolean;
  readonly clock: Pick<Clock, "epochMs" | "monotonicMs">;
  /** Unguessable and unique for ever: consumers refuse an id that they have seen. */
  readonly newId: () => string;
  /** Called after the decision is durable. Must not throw and must not wait. */
  readonly publish: (decision: Decision) => void;
  readonly onSeen?: (view: TrackView) => void;
  /** One observation or message that could not be used; the rest goes on. */
  readonly onFault?: (fault: unknown, cameraId: CameraId) => void;
}

export interface DoorkeeperCounts {
  /** Frames that were too old (or from the future), came out of order, or of another space. */
  readonly stale: number;
  readonly disordered: number;
  readonly otherSpace: number;
  /** Embeddings that are no unit vectors, scores that are no numbers. */
  readonly faulty: number;
  /** Looked-at frames that had to make room while a search was slow. */
  readonly dropped: number;
  readonly tracks: number;
}
