/** A release repository as the device sees it. Metadata is checked in a child process that lives for one check. */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { EpochMs } from "../../lib/brand.ts";
import type { Clock } from "../../lib/clock.ts";
import { codeOf, Fault } from "../../lib/fault.ts";
import type { Log } from "../../lib/log.ts";
import { desiredPathOf } from "../../release/repository.ts";
import { fetchBlob } from "./blob.ts";
import { type FetchDeps, fetchBytes } from "./fetch.ts";
import { type CheckRequest, checkedOf } from "./messages.ts";
import type { RepositoryOptions } from "./options.ts";
import type { Checked, Floors, ReleaseSource, WantedPack } from "./source.ts";
import { StatusFault, Transport, urlBelow } from "./transport.ts";

export interface ReleasesOptions {
  readonly repository: RepositoryOptions;
  /** File with the TUF root that this device trusts from the start; never written. */
  readonly pinnedRoot: string;
  /** Directory of our own, for verified metadata. */
  readonly stateDirectory: string;
  readonly runtime: CheckRequest["runtime"];
  /** A check that takes longer is ended, ms. */
  readonly checkMs?: number;
}

export interface ReleasesDeps {
  readonly clock: Clock;
  readonly log: Log;
}

const CHECK_MS = 15 * 60_000;
const DESIRED_MAX_BYTES = 64 * 1024;
const STDERR_MAX = 2000;
/** What a child needs to find certificates and compiled modules. */
const ENVIRONMENT = ["NODE_COMPILE_CACHE", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR"];

export class Releases implements ReleaseSource {
  readonly #options: ReleasesOptions;
  readonly #deps: ReleasesDeps;

  constructor(options: ReleasesOptions, deps: ReleasesDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  readonly check = async (
    wanted: WantedPack,
    floors: Floors | undefined,
    now: EpochMs,
    signal: AbortSignal,
  ): Promise<Checked> => {
    signal.throwIfAborted();
    const { repository, pinnedRoot, stateDirectory, runtime } = this.#options;
    const request: CheckRequest = {
      options: repository,
      pinnedRoot,
      stateDirectory,
      runtime,
      wanted,
      now,
      ...(floors === undefined ? {} : { floors }),
    };
    const child = startChild();
    try {
      const checked = await this.#answered(child, request, signal);
      signal.throwIfAborted();
      return checked;
    } finally {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    }
  };

  readonly fetchBlob = async (
    blob: { readonly sha256: string; readonly bytes: number },
    into: string,
    onProgress: (received: number) => void,
    signal: AbortSignal,
  ): Promise<void> => fetchBlob(blob, into, onProgress, await this.#fetchDeps(signal));

  readonly fetchDesired = async (
    address: string,
    signal: AbortSignal,
  ): Promise<string | undefined> => {
    const url = urlBelow(this.#options.repository.url, desiredPathOf(address));
    try {
      const bytes = await fetchBytes(url, DESIRED_MAX_BYTES, await this.#fetchDeps(signal));
      return bytes.toString("utf8");
    } catch (thrown) {
      if (thrown instanceof StatusFault && [403, 404].includes(thrown.status)) return undefined;
      throw thrown;
    }
  };

  async #fetchDeps(signal: AbortSignal): Promise<FetchDeps> {
    const options = this.#options.repository;
    return { options, transport: await Transport.open(options), clock: this.#deps.clock, signal };
  }

  /** The child's answer, or a refusal that says how it ended without one. */
  async #answered(
    child: ChildProcess,
    request: CheckRequest,
    signal: AbortSignal,
  ): Promise<Checked> {
    const { clock, log } = this.#deps;
    let stderr = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      stderr = (stderr + chunk.toString("utf8")).slice(-STDERR_MAX);
    });
    const ended = new Promise<string>((resolve) => {
      child.once("exit", (code, name) => resolve(name ?? `exit code ${code}`));
      child.once("error", (error) => resolve(codeOf(error)));
    });
    const message = new Promise<unknown>((resolve) => child.once("message", resolve));
    const limit = new AbortController();
    const checkMs = this.#options.checkMs ?? CHECK_MS;
    const late = clock.sleep(checkMs, AbortSignal.any([limit.signal, signal]));
    // A send that fails ends the child, or it has ended already.
    child.send(request, () => undefined);
    const answer = await Promise.race([
      message.then((said) => checkedOf(said)),
      ended.then(() => undefined),
      late.then(() => undefined),
    ]);
    limit.abort();
    if (answer !== undefined) return answer;
    if (child.exitCode === null) child.kill("SIGKILL");
    const reason = await ended;
    if (!signal.aborted)
      log.warn({ reason, stderr: stderr.slice(-500) }, "release check ended early");
    return refusal(`the check of the repository ended without an answer (${reason})`);
  }
}

function refusal(text: string): Checked {
  const fault = new Fault("check_failed", `${text}; it is tried again`, { retry: "later" });
  return {
    outcome: { kind: "refused", fault, isExpired: false },
    floors: undefined,
    issuedAt: undefined,
  };
}

function startChild(): ChildProcess {
  const entry = import.meta.url.endsWith(".ts") ? "./main.ts" : "./main.js";
  const environment = ENVIRONMENT.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value]];
  });
  return fork(fileURLToPath(new URL(entry, import.meta.url)), [], {
    serialization: "advanced",
    execArgv: ["--max-semi-space-size=2", "--disable-warning=ExperimentalWarning"],
    env: Object.fromEntries(environment),
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
}
