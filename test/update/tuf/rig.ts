/** A published repository, the server that carries it, and a device that checks it. */
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { epochMs } from "../../../src/lib/brand.ts";
import { createClock } from "../../../src/system/clock.ts";
import { runCheck } from "../../../src/update/tuf/check.ts";
import { RepositoryOptions } from "../../../src/update/tuf/options.ts";
import { Releases } from "../../../src/update/tuf/releases.ts";
import type { Checked, Floors, WantedPack } from "../../../src/update/tuf/source.ts";
import { RecordingLog } from "../../support/log.ts";
import { TestRepository } from "../../support/release.ts";
import { ReleaseServer } from "../../support/release-server.ts";

export const never = new AbortController().signal;

/** Impatient: tests make servers stall. */
const IMPATIENT = { idleMs: 400, rateWindowMs: 200, attempts: 2, diskReserveBytes: 0 };

export interface CheckOptions {
  readonly floors?: Floors | undefined;
  readonly hardware?: string;
  readonly version?: string;
  /** Something of the repository's options. */
  readonly options?: Record<string, unknown>;
}

export class Rig implements AsyncDisposable {
  readonly repository: TestRepository;
  readonly server: ReleaseServer;
  readonly scratch: string;

  private constructor(repository: TestRepository, server: ReleaseServer, scratch: string) {
    this.repository = repository;
    this.server = server;
    this.scratch = scratch;
  }

  static async make(options: Parameters<typeof TestRepository.make>[1] = {}): Promise<Rig> {
    const scratch = await mkdtemp(join(tmpdir(), "ostiary-tuf-"));
    const repository = await TestRepository.make(scratch, options);
    const server = await ReleaseServer.start(repository.workspace.repository);
    return new Rig(repository, server, scratch);
  }

  get stateDirectory(): string {
    return join(this.scratch, "device");
  }

  /** A copy of what is published now, for serving it later. */
  async copy(name: string): Promise<string> {
    const to = join(this.scratch, name);
    await cp(this.repository.workspace.repository, to, { recursive: true });
    return to;
  }

  /** The device forgets its verified metadata. */
  async forget(): Promise<void> {
    await rm(this.stateDirectory, { recursive: true, force: true });
  }

  /** The check that the child runs, in this process: the clock is the machine's. */
  check(wanted: WantedPack, options: CheckOptions = {}): Promise<Checked> {
    const { floors, hardware = "x64", version = "0.1.0" } = options;
    const request = {
      options: this.#options(options.options),
      pinnedRoot: this.repository.pinnedRoot,
      stateDirectory: this.stateDirectory,
      runtime: { hardware, version },
      wanted,
      now: epochMs(Date.now()),
      ...(floors === undefined ? {} : { floors }),
    };
    return runCheck(request, createClock(), never);
  }

  /** The whole, with the child process. */
  releases(options: Record<string, unknown> = {}): Releases {
    return new Releases(
      {
        repository: this.#options(options),
        pinnedRoot: this.repository.pinnedRoot,
        stateDirectory: this.stateDirectory,
        runtime: { hardware: "x64", version: "0.1.0" },
      },
      { clock: createClock(), log: new RecordingLog() },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
    await rm(this.scratch, { recursive: true, force: true });
  }

  #options(options: Record<string, unknown> = {}): RepositoryOptions {
    return RepositoryOptions.parse({ url: this.server.url, ...IMPATIENT, ...options });
  }
}

/** The code of a refusal; `found` when there is none. */
export function codeOf({ outcome }: Checked): string {
  return outcome.kind === "found" ? "found" : outcome.fault.code;
}
