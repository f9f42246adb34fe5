/** The second half of the appliance on one screen: observation → match → evidence → decision. */
import { Book } from "./decision/book.ts";
import type { Decision } from "./decision/decision.ts";
import {
  type Evidence,
  type EvidenceStep,
  type Missed,
  noEvidence,
  step,
  type Verdict,
} from "./decision/evidence.ts";
import { type Circumstances, decisionOf } from "./decision/judge.ts";
import type { DoorkeeperCounts, DoorkeeperDeps, DoorkeeperOptions } from "./decision/ports.ts";
import { doorsOf } from "./decision/rules.ts";
import { type TrackView, viewOf } from "./decision/view.ts";
import { evidenceInputOf } from "./decision/weight.ts";
import type { CameraId, DoorId, EpochMs, MonotonicMs, TrackId } from "./lib/brand.ts";
import { Fault } from "./lib/fault.ts";
import { Lane } from "./lib/lane.ts";
import { isUnit } from "./lib/vector.ts";
import type { Match } from "./match/match.ts";
import { matchOf } from "./match/matching.ts";
import type { Threshold } from "./match/threshold.ts";
import type { Observation, ObserveMessage } from "./observation/messages.ts";

export type { DoorkeeperCounts, DoorkeeperDeps, DoorkeeperOptions, TrackView };

interface TrackState {
  readonly cameraId: CameraId;
  readonly evidence: Evidence;
  readonly seenAt: MonotonicMs;
}

/** Ended tracks first, then a lost camera, then the frame. */
interface Work {
  readonly ended: readonly TrackId[];
  readonly lost: boolean;
  readonly message?: ObserveMessage;
}

interface CameraState {
  readonly lane: Lane<Work, readonly Decision[]>;
  lastFrameAt: MonotonicMs | undefined;
}

export class Doorkeeper {
  readonly #options: DoorkeeperOptions;
  readonly #deps: DoorkeeperDeps;
  /** As many as are configured: main only passes on messages of known cameras. */
  readonly #cameras = new Map<CameraId, CameraState>();
  /** Least recently seen first. */
  readonly #tracks = new Map<TrackId, TrackState>();
  readonly #book: Book;
  readonly #counts = { stale: 0, disordered: 0, otherSpace: 0, faulty: 0 };

  constructor(options: DoorkeeperOptions, deps: DoorkeeperDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#book = new Book(options.decision);
  }

  /**
   * Takes in one looked-at frame. Frames of one camera are handled in order; when the search is slower than
   * the camera, the oldest waiting frame is dropped, but the tracks that ended with it still end.
   *
   * @returns what was decided; rejects when the search or the ledger failed, and then nothing was granted
   */
  async observe(message: ObserveMessage): Promise<readonly Decision[]> {
    return (
      (await this.#camera(message.cameraId).lane.put({ ended: [], lost: false, message })) ?? []
    );
  }

  async trackEnded(cameraId: CameraId, trackId: TrackId): Promise<readonly Decision[]> {
    return (await this.#camera(cameraId).lane.put({ ended: [trackId], lost: false })) ?? [];
  }

  /** The camera or the vision process is gone: its tracks end. */
  async cameraLost(cameraId: CameraId): Promise<readonly Decision[]> {
    return (await this.#camera(cameraId).lane.put({ ended: [], lost: true })) ?? [];
  }

  /** The broker has a decision: the cool-down of its person and door begins. Unknown ids change nothing. */
  acknowledged(decisionId: string): void {
    this.#book.acknowledged(decisionId, this.#deps.clock.monotonicMs());
  }

  counts(): DoorkeeperCounts {
    let dropped = 0;
    for (const camera of this.#cameras.values()) dropped += camera.lane.droppedCount;
    return { ...this.#counts, dropped, tracks: this.#tracks.size };
  }

  #camera(cameraId: CameraId): CameraState {
    const known = this.#cameras.get(cameraId);
    if (known !== undefined) return known;
    const lane = new Lane<Work, readonly Decision[]>({
      waitingMax: this.#options.decision.queueMax,
      run: (work) => this.#work(cameraId, work),
      fold: (oldest, next) => ({
        ...next,
        lost: oldest.lost || next.lost,
        ended: this.#stillOpen(oldest, next),
      }),
    });
    const camera: CameraState = { lane, lastFrameAt: undefined };
    this.#cameras.set(cameraId, camera);
    return camera;
  }

  #stillOpen(oldest: Work, next: Work): readonly TrackId[] {
    const ended = new Set([...oldest.ended, ...(oldest.message?.endedTracks ?? []), ...next.ended]);
    return [...ended].filter((trackId) => this.#tracks.has(trackId));
  }

  async #work(cameraId: CameraId, work: Work): Promise<readonly Decision[]> {
    const decisions: Decision[] = [];
    const faults: unknown[] = [];
    const attempt = (run: () => readonly Decision[]) => {
      try {
        decisions.push(...run());
      } catch (fault) {
        faults.push(fault);
      }
    };
    for (const trackId of work.ended) attempt(() => this.#end(trackId));
    if (work.lost)
      for (const trackId of this.#tracksOf(cameraId)) attempt(() => this.#end(trackId));
    if (work.message !== undefined) {
      const { message } = work;
      const matches = this.#accepts(message)
        ? await this.#search(message).catch((fault) => void faults.push(fault))
        : undefined;
      // The search may have taken long.
      if (matches !== undefined && this.#isFresh(message)) {
        for (const [index, observation] of message.observations.entries()) {
          attempt(() => this.#observed(message, observation, matches[index]));
        }
      }
      for (const trackId of message.endedTracks) attempt(() => this.#end(trackId));
    }
    for (const trackId of this.#tracksOf(
      cameraId,
      this.#deps.clock.monotonicMs() - this.#options.decision.trackIdleMaxMs,
    )) {
      attempt(() => this.#end(trackId));
    }
    if (faults.length > 0) throw faults[0];
    return decisions;
  }

  #accepts(message: ObserveMessage): boolean {
    if (!this.#isFresh(message)) return false;
    const camera = this.#camera(message.cameraId);
    const at = message.capturedAt.monotonicMs;
    if (camera.lastFrameAt !== undefined && at <= camera.lastFrameAt) {
      this.#counts.disordered += 1;
      return false;
    }
    camera.lastFrameAt = at;
    if (message.spaceId === this.#deps.gallery.spaceId) return true;
    this.#counts.otherSpace += 1;
    return false;
  }

  #isFresh(message: ObserveMessage): boolean {
    const age = this.#deps.clock.monotonicMs() - message.capturedAt.monotonicMs;
    if (Math.abs(age) <= this.#options.decision.frameAgeMaxMs) return true;
    this.#counts.stale += 1;
    return false;
  }

  /** One entry per observation: undefined where nothing was compared. */
  async #search(message: ObserveMessage): Promise<readonly (Match | undefined)[]> {
    const doors = doorsOf(this.#deps.rules(), message.cameraId);
    const now = this.#deps.clock.monotonicMs();
    if (doors.length > 0 && doors.every((door) => this.#book.isPaused(door.id, now)))
      return message.observations.map(() => undefined);
    const threshold = this.#deps.threshold();
    return Promise.all(
      message.observations.map((observation) => this.#matchOf(message, observation, threshold)),
    );
  }

  async #matchOf(
    message: ObserveMessage,
    observation: Observation,
    threshold: Threshold,
  ): Promise<Match | undefined> {
    const { gallery } = this.#deps;
    const { embedding, quality } = observation;
    if (embedding === undefined || quality.reasons.length > 0) return undefined;
    if (!isUnit(embedding, gallery.dimension)) {
      this.#faulty(
        new Fault(
          "not_finite",
          `an embedding of camera ${message.cameraId} is no unit vector of ${gallery.dimension} values: the model or its provider is broken`,
        ),
        message.cameraId,
      );
      return undefined;
    }
    return matchOf(
      await gallery.search(embedding, this.#options.match.candidates),
      threshold,
      this.#options.match,
    );
  }

  #observed(
    message: ObserveMessage,
    observation: Observation,
    match: Match | undefined,
  ): readonly Decision[] {
    const { trackId, quality } = observation;
    const { cameraId } = message;
    const known = this.#tracks.get(trackId)?.evidence;
    // Scores of different spaces never add up.
    const before = known?.spaceId === message.spaceId ? known : noEvidence(message.spaceId);
    let next: EvidenceStep;
    try {
      next = step(before, evidenceInputOf(message, observation, match), this.#options.decision);
    } catch (fault) {
      this.#faulty(fault, cameraId);
      return [];
    }
    const decisions = [
      ...this.#remember(trackId, {
        cameraId,
        evidence: next.evidence,
        seenAt: message.capturedAt.monotonicMs,
      }),
    ];
    const now = this.#deps.clock.monotonicMs();
    const doors = doorsOf(this.#deps.rules(), cameraId);
    this.#deps.onSeen?.(
      viewOf(
        cameraId,
        trackId,
        next.evidence,
        this.#deps.threshold(),
        quality.reasons,
        match?.cosine,
      ),
    );
    for (const door of doors) {
      if (next.attempted) this.#book.attempted(door.id, now);
      const decision = this.#atDoor(door.id, cameraId, trackId, next, quality.reasons.length === 0);
      if (decision !== undefined) decisions.push(decision);
    }
    return decisions;
  }

  /** What there is to say at one door after one frame, if anything. */
  #atDoor(
    doorId: DoorId,
    cameraId: CameraId,
    trackId: TrackId,
    next: EvidenceStep,
    usable: boolean,
  ): Decision | undefined {
    const now = this.#deps.clock.monotonicMs();
    const { verdict, confirmed } = next;
    if (this.#book.isPaused(doorId, now)) {
      const { firstUsableAt, identified } = next.evidence;
      const settled =
        identified !== undefined && !this.#book.mayDecide(doorId, identified, trackId, now);
      if (!usable || settled || !this.#book.tell(doorId, trackId)) return undefined;
      const told: Missed = {
        kind: "too_many_attempts",
        frames: 0,
        quality: [],
        ...(firstUsableAt !== undefined && { firstUsableAt }),
      };
      return this.#decide(doorId, cameraId, trackId, told);
    }
    if (confirmed === undefined) {
      return verdict === undefined || verdict.kind === "identified"
        ? undefined
        : this.#decide(doorId, cameraId, trackId, verdict);
    }
    const { identityId } = confirmed;
    if (!this.#book.mayDecide(doorId, identityId, trackId, now)) return undefined;
    const decision = this.#decide(doorId, cameraId, trackId, confirmed);
    if (decision.outcome === "grant")
      this.#book.granted(doorId, identityId, trackId, decision.id, now);
    else this.#book.denied(doorId, identityId, trackId, now);
    return decision;
  }

  /** Judges by the record as it stands inside the transaction; what is durable is published. */
  #decide(doorId: DoorId, cameraId: CameraId, trackId: TrackId, verdict: Verdict): Decision {
    const { clock, ledger, newId, publish } = this.#deps;
    const where = { doorId, cameraId, trackId };
    const { decision } = ledger.recordDecision(
      verdict.kind === "identified" ? verdict.identityId : undefined,
      (identity) =>
        decisionOf(
          verdict,
          identity,
          this.#circumstances(doorId, clock.epochMs()),
          { id: newId(), ...where },
          this.#options.decision,
        ),
    );
    publish(decision);
    return decision;
  }

  #circumstances(doorId: DoorId, at: EpochMs): Circumstances {
    const { rules, doorMode, threshold, gallery, demoOnly, degraded, clockTrusted } = this.#deps;
    return {
      rules: rules(),
      doorId,
      mode: doorMode(doorId),
      at,
      threshold: threshold(),
      galleryEmpty: gallery.templateCount === 0,
      demoOnly,
      degraded: degraded(),
      clockTrusted: clockTrusted(),
    };
  }

  #remember(trackId: TrackId, state: TrackState): readonly Decision[] {
    this.#tracks.delete(trackId);
    this.#tracks.set(trackId, state);
    if (this.#tracks.size <= this.#options.decision.tracksMax) return [];
    const oldest = this.#tracks.keys().next();
    return oldest.done ? [] : this.#end(oldest.value);
  }

  #end(trackId: TrackId): readonly Decision[] {
    const state = this.#tracks.get(trackId);
    if (state === undefined) return [];
    this.#tracks.delete(trackId);
    const { cameraId } = state;
    const { evidence, verdict } = step(
      state.evidence,
      { kind: "ended", at: this.#deps.clock.monotonicMs() },
      this.#options.decision,
    );
    this.#deps.onSeen?.(viewOf(cameraId, trackId, evidence, this.#deps.threshold()));
    if (verdict === undefined) return [];
    return doorsOf(this.#deps.rules(), cameraId).map((door) =>
      this.#decide(door.id, cameraId, trackId, verdict),
    );
  }

  /** @param notSince only tracks that were last seen before this */
  #tracksOf(cameraId: CameraId, notSince = Number.POSITIVE_INFINITY): readonly TrackId[] {
    return [...this.#tracks].flatMap(([id, state]) =>
      state.cameraId === cameraId && state.seenAt < notSince ? [id] : [],
    );
  }

  #faulty(fault: unknown, cameraId: CameraId): void {
    this.#counts.faulty += 1;
    this.#deps.onFault?.(fault, cameraId);
  }
}
