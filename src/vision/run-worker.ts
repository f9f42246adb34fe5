/** Runs a model thread inside a worker. `worker.ts` gives it the real models, tests give it others. */
import { flushCompileCache } from "node:module";
import { parentPort, workerData } from "node:worker_threads";
import { assert } from "../lib/assert.ts";
import { createVisionClock } from "./clock.ts";
import { ModelThread, type ModelThreadDeps } from "./model-thread.ts";
import type { FromModelThread, ModelThreadData, ToModelThread } from "./thread-messages.ts";

export function runWorker(open: ModelThreadDeps["open"]): void {
  assert(parentPort !== null, "the model thread runs only as a worker");
  const port = parentPort;
  const { wakeFlag, trackPrefix } = workerData as ModelThreadData;
  const flag = new Int32Array(wakeFlag);
  const thread = new ModelThread({
    open,
    send: (message: FromModelThread) => {
      port.postMessage(message);
      if (message.kind === "load-pack") flushCompileCache();
    },
    clock: createVisionClock(),
    trackPrefix,
    rssBytes: () => process.memoryUsage.rss(),
  });
  port.on("message", (message: ToModelThread) => {
    // Cleared before looking, so that a frame which comes while we look wakes us again.
    if (message.kind === "wake") Atomics.store(flag, 0, 0);
    // A model that fails on a frame leaves the process in doubt: the whole process is replaced.
    thread.receive(message).catch((thrown: unknown) => {
      throw thrown;
    });
  });
}
