/** The device as its operator sees it, over the control socket: its key, its provider, its camera. */
import { join } from "node:path";
import { z } from "zod";
import { ControlClient } from "../../src/control/client.ts";
import type { Clock } from "../../src/lib/clock.ts";
import { codeOf, Fault } from "../../src/lib/fault.ts";

const Status = z.object({
  provider: z.string().nullable(),
  deviceKey: z.object({ kid: z.string(), publicKey: z.string() }),
  broker: z.object({ connected: z.boolean() }),
  doorkeeper: z.object({ tracks: z.number() }),
  cameras: z.array(z.object({ status: z.string(), fps: z.number() })),
});
export type Status = z.infer<typeof Status>;

const START_MS = 60_000;
const POLL_MS = 250;

export class Device implements Disposable {
  readonly #client: ControlClient;
  readonly #clock: Clock;
  #asked = 0;

  private constructor(client: ControlClient, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  /** Waits for the daemon to answer. @throws Fault `control_unreachable` when it does not in time */
  static async connect(scratch: string, clock: Clock, signal: AbortSignal): Promise<Device> {
    const path = join(scratch, "run/control.sock");
    const until = clock.monotonicMs() + START_MS;
    for (;;) {
      signal.throwIfAborted();
      try {
        return new Device(await ControlClient.connect(path, signal), clock);
      } catch (fault) {
        if (codeOf(fault) !== "control_unreachable" || clock.monotonicMs() > until) throw fault;
      }
      await clock.sleep(POLL_MS, signal);
    }
  }

  async status(signal: AbortSignal): Promise<Status> {
    this.#asked += 1;
    const answer = await this.#client.ask(
      "device/status",
      {},
      { id: `demo-status-${this.#asked}` },
      signal,
    );
    if (!answer.ok) throw new Fault(answer.error.code, answer.error.message);
    return Status.parse(answer.data);
  }

  /** Until models are loaded, the broker is connected and the camera gives frames. @throws Fault `not_ready` */
  async untilReady(onStatus: (status: Status) => void, signal: AbortSignal): Promise<Status> {
    const until = this.#clock.monotonicMs() + START_MS;
    for (;;) {
      const status = await this.status(signal);
      onStatus(status);
      if (
        status.provider !== null &&
        status.broker.connected &&
        status.cameras[0]?.status === "online"
      )
        return status;
      if (this.#clock.monotonicMs() > until) {
        throw new Fault(
          "not_ready",
          `the camera is ${status.cameras[0]?.status ?? "missing"} after ${START_MS / 1000} s: check its address and that it is reachable`,
        );
      }
      await this.#clock.sleep(POLL_MS, signal);
    }
  }

  /** Tells `onStatus` until `signal` aborts. Never rejects: a daemon that is gone is somebody else's news. */
  async watch(onStatus: (status: Status) => void, signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        onStatus(await this.status(signal));
        await this.#clock.sleep(POLL_MS, signal);
      }
    } catch {
      // The daemon ended or the demo did.
    }
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
  }
}
