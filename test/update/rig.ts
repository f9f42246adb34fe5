/** The updater over a real store and real packs, with a repository in memory and a runtime that obeys. */
import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import type { SpaceId } from "../../src/lib/brand.ts";
import { Fault } from "../../src/lib/fault.ts";
import { KeyRing, type Signer, seal, signerOf } from "../../src/mqtt/envelope.ts";
import type { DesiredState } from "../../src/release/desired.ts";
import type { UpdateJournal } from "../../src/release/journal-port.ts";
import type { Candidate, PackOnDisk, ProbationSample, Runtime } from "../../src/release/ports.ts";
import type { ShadowStats, UpdateReport } from "../../src/release/report.ts";
import type { Deferral, UpdateStateName } from "../../src/release/state.ts";
import type { Store } from "../../src/store/store.ts";
import { bootPack } from "../../src/update/boot.ts";
import { UpdateOptions } from "../../src/update/options.ts";
import { Packs } from "../../src/update/packs.ts";
import type { Checked, ReleaseSource } from "../../src/update/tuf/source.ts";
import { Updater } from "../../src/update/updater.ts";
import { StoreDirectory } from "../store/support.ts";
import { SimulatedClock } from "../support/clock.ts";
import { RecordingLog } from "../support/log.ts";
import { within } from "../support/waiting.ts";
import { Scratch, type TinyPack, tinyPack, writePack } from "./support.ts";

export const ADDRESS = "hq/north-door";
export const FACTORY: TinyPack = tinyPack({ counter: 1 });

export const STATS: ShadowStats = {
  frames: 100,
  faceAgreement: 1,
  compared: 30,
  identityAgreement: 1,
  scoreShift: 0,
  activeP95Ms: 20,
  candidateP95Ms: 20,
  shed: 0,
};

export const WELL: ProbationSample = {
  elapsedMs: 0,
  visionExits: 0,
  frames: 1000,
  failedFrames: 0,
  p95Ms: 20,
  grants: 0,
  denials: 0,
  before: { grants: 0, denials: 0 },
  sentinel: { cosine: 1, cosineMin: 0.99 },
};

/** What serves, and what goes wrong, said by the test. */
export class FakeRuntime implements Runtime {
  readonly calls: string[] = [];
  /** Faults by call: thrown once each. */
  readonly faults = new Map<string, Fault[]>();
  /** Whom re-embedding cannot help. */
  withoutCrops: readonly string[] = [];
  deferred: Deferral | undefined;
  sample: ProbationSample = WELL;
  retained: readonly string[] = [];
  /** Calls that end when they are given up, and not before. */
  readonly holds = new Set<"selfTest" | "reembed" | "shadow">();
  open = 0;
  #active: PackOnDisk;
  readonly #covered = new Set<string>();

  constructor(active: PackOnDisk) {
    this.#active = active;
    this.#covered.add(active.pack.embedder.spaceId);
  }

  fail(call: string, code: string, retry: "never" | "later" = "never"): void {
    const fault = new Fault(code, `the test wants ${call} to fail`, { retry });
    this.faults.set(call, [...(this.faults.get(call) ?? []), fault]);
  }

  readonly active = (): PackOnDisk => this.#active;

  readonly openCandidate = async (pack: PackOnDisk, signal: AbortSignal): Promise<Candidate> => {
    signal.throwIfAborted();
    this.#call("openCandidate", pack.pack.id);
    this.open += 1;
    const { spaceId } = pack.pack.embedder;
    return {
      selfTest: async (signal) => {
        await this.#held("selfTest", signal);
        this.#call("selfTest");
        return {
          loaded: { packId: pack.pack.id, spaceId, provider: "cpu", refused: [] },
          goldenCosine: 1,
          p95Ms: 5,
          rssBytes: 1,
        };
      },
      reembed: async (cursor, onProgress, signal) => {
        await this.#held("reembed", signal);
        this.#call("reembed", cursor ?? "");
        onProgress("ada", 1, 2);
        onProgress("bob", 2, 2);
        this.#covered.add(spaceId);
        return { identities: 2, templates: 4, withoutCrops: this.withoutCrops, broken: [] };
      },
      shadow: async (onProgress, signal) => {
        await this.#held("shadow", signal);
        this.#call("shadow");
        onProgress(STATS);
        return STATS;
      },
      [Symbol.asyncDispose]: async () => {
        this.open -= 1;
      },
    };
  };

  readonly coverage = (spaceId: SpaceId) => {
    if (spaceId === this.#active.pack.embedder.spaceId) return { missing: [] };
    const isFilled = this.#covered.has(spaceId);
    return { missing: isFilled ? this.withoutCrops : ["ada", "bob", ...this.withoutCrops] };
  };

  readonly switchTo = async (pack: PackOnDisk, signal: AbortSignal): Promise<void> => {
    signal.throwIfAborted();
    this.#call("switchTo", pack.pack.id);
    this.#active = pack;
  };

  readonly retainSpaces = (spaceIds: readonly SpaceId[]): void => {
    this.retained = spaceIds;
    const kept: readonly string[] = [this.#active.pack.embedder.spaceId, ...spaceIds];
    for (const spaceId of this.#covered) if (!kept.includes(spaceId)) this.#covered.delete(spaceId);
  };

  readonly probation = (): ProbationSample => this.sample;
  readonly deferral = (): Deferral | undefined => this.deferred;

  /** Candidate processes hold memory: none may be forgotten. */
  get leaks(): number {
    return this.open;
  }

  async #held(call: "selfTest" | "reembed" | "shadow", signal: AbortSignal): Promise<void> {
    if (this.holds.has(call) && !signal.aborted)
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    signal.throwIfAborted();
  }

  #call(name: string, detail = ""): void {
    this.calls.push(detail === "" ? name : `${name} ${detail}`);
    const fault = this.faults.get(name)?.shift();
    if (fault !== undefined) throw fault;
  }
}

/** Releases in memory. */
export class MemorySource implements ReleaseSource {
  readonly packs = new Map<string, TinyPack>();
  readonly fetched: string[] = [];
  desired: string | undefined;
  refusal: { readonly fault: Fault; readonly isExpired: boolean } | undefined;
  issuedAt: Checked["issuedAt"];
  checks = 0;
  readonly transferFaults: Fault[] = [];

  add(pack: TinyPack): void {
    this.packs.set(pack.name.sha256, pack);
  }

  readonly check: ReleaseSource["check"] = async (wanted, _floors, _now, signal) => {
    signal.throwIfAborted();
    this.checks += 1;
    const { issuedAt } = this;
    const pack = this.packs.get(wanted.sha256);
    const fault = new Fault("target_missing", "it is not listed");
    const refusal = this.refusal ?? (pack === undefined ? { fault, isExpired: false } : undefined);
    const floors = {
      anchor: "a".repeat(64),
      root: 1,
      onlineKeys: "b".repeat(64),
      timestamp: this.checks,
      snapshot: 1,
      targets: 1,
    };
    if (refusal !== undefined || pack === undefined)
      return {
        outcome: { kind: "refused", ...(refusal ?? { fault, isExpired: false }) },
        floors,
        issuedAt,
      };
    const { name } = pack;
    return {
      floors,
      issuedAt,
      outcome: {
        kind: "found",
        packJson: pack.manifest,
        target: {
          kind: "pack",
          packId: name.id,
          releaseCounter: name.releaseCounter,
          spaceId: name.spaceId,
          hardware: ["x64"],
          minimumRuntime: "0.1.0",
          bytes: 1,
        },
      },
    };
  };

  readonly fetchBlob: ReleaseSource["fetchBlob"] = async (blob, into, onProgress, signal) => {
    signal.throwIfAborted();
    const fault = this.transferFaults.shift();
    if (fault !== undefined) throw fault;
    for (const pack of this.packs.values())
      for (const file of pack.pack.files)
        if (file.sha256 === blob.sha256) writeFileSync(into, pack.blobs.get(file.name) ?? "");
    this.fetched.push(blob.sha256);
    onProgress(blob.bytes);
  };

  readonly fetchDesired: ReleaseSource["fetchDesired"] = async () => this.desired;
}

/** Signs what a director signs. */
export class Director {
  readonly signer: Signer & { readonly publicKey: string } = signerOf(
    generateKeyPairSync("ed25519").privateKey,
  );
  #seq = 0;

  /** An envelope, as text. */
  wants(pack: TinyPack, more: Partial<DesiredState> = {}): string {
    this.#seq += 1;
    const { id, sha256, releaseCounter } = pack.name;
    return JSON.stringify(
      seal(
        JSON.stringify({
          schema: 1,
          kind: "desired",
          aud: ADDRESS,
          jobId: `job-${String(this.#seq).padStart(5, "0")}`,
          seq: this.#seq,
          pack: { id, sha256, releaseCounter },
          ring: "canary",
          issuedAt: "2026-01-05T08:00:00Z",
          from: "2026-01-05T08:00:00Z",
          until: "2026-02-05T08:00:00Z",
          ...more,
        }),
        this.signer,
      ),
    );
  }
}

export interface RigOptions {
  readonly options?: Readonly<Record<string, unknown>>;
}

/** One device. {@link UpdateRig.restart} is what a crash and a boot make of it. */
export class UpdateRig implements AsyncDisposable {
  readonly scratch = new Scratch();
  readonly directory = new StoreDirectory();
  readonly clock = new SimulatedClock();
  readonly log = new RecordingLog();
  readonly source = new MemorySource();
  readonly director = new Director();
  readonly reports: UpdateReport[] = [];
  readonly #options: UpdateOptions;
  celsius: number | undefined;
  runtime!: FakeRuntime;
  packs!: Packs;
  updater!: Updater;
  #store!: Store;
  #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();

  private constructor(options: RigOptions) {
    this.#options = UpdateOptions.parse({
      repository: { url: "https://releases.example/" },
      probation: { durationMs: 60_000 },
      ...options.options,
    });
  }

  static async open(options: RigOptions = {}): Promise<UpdateRig> {
    const rig = new UpdateRig(options);
    writePack(rig.scratch.at("factory"), FACTORY);
    await rig.#boot();
    return rig;
  }

  get journal(): UpdateJournal {
    return this.#store.updates;
  }

  get store(): Store {
    return this.#store;
  }

  get state(): UpdateStateName {
    return this.journal.entry().state;
  }

  /** Goes on until the journal is in that state; time passes meanwhile. */
  async reach(state: UpdateStateName, stepMs = 500): Promise<void> {
    await this.until(() => this.state === state, `the update is ${state}`, stepMs);
  }

  /** Time passes until it is so. */
  async until(isSo: () => boolean, what: string, stepMs = 500): Promise<void> {
    const over = new AbortController();
    const passing = (async () => {
      while (!isSo() && !over.signal.aborted) {
        await this.clock.advance(stepMs);
        // The disk answers in its own time.
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    const explain = (): string =>
      JSON.stringify([this.journal.entry(), this.log.entries.slice(-5), this.runtime.calls]);
    await within(passing, what, 20_000, explain).finally(() => over.abort());
  }

  /** The daemon is gone without a word, and boots. */
  async restart(): Promise<void> {
    // What it would do in good order is undone: the journal is what it was.
    const before = this.journal.entry();
    await this.stop();
    const store = this.directory.open();
    store.updates.change({ entry: before }, this.clock.epochMs());
    store[Symbol.dispose]();
    await this.#boot();
  }

  /** Stops in good order, and starts. */
  async reboot(): Promise<void> {
    await this.stop();
    await this.#boot();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await within(this.#running, "the updater stops");
    await this.updater[Symbol.asyncDispose]();
    this.#store[Symbol.dispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    this.scratch[Symbol.dispose]();
    this.directory[Symbol.dispose]();
  }

  async #boot(): Promise<void> {
    const { clock, log, source } = this;
    this.#store = this.directory.open();
    const journal = this.#store.updates;
    const directory = this.scratch.at("packs");
    this.packs = await Packs.open({ directory, factory: this.scratch.at("factory") });
    const serving = await bootPack({ journal, packs: this.packs, log }, clock.epochMs());
    const spaces = this.runtime?.retained ?? [];
    this.runtime = new FakeRuntime(serving);
    this.runtime.retained = spaces;
    this.#stop = new AbortController();
    const keys = new KeyRing([this.director.signer.publicKey]);
    this.updater = new Updater({ address: ADDRESS, builtAt: 0 as never }, this.#options, {
      clock,
      log,
      journal,
      source,
      random: () => 0.5,
      packs: this.packs,
      runtime: this.runtime,
      verifyDesired: keys.verify,
      clockTrusted: () => true,
      temperatureC: async () => this.celsius,
      publish: (report) => this.reports.push(report),
    });
    this.#running = this.updater.run(this.#stop.signal);
  }
}
