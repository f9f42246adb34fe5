/** The vision process's main thread: reads frame sockets, starts the model thread, passes messages on. */
import { randomBytes } from "node:crypto";
import { flushCompileCache } from "node:module";
import { Socket } from "node:net";
import { Worker } from "node:worker_threads";
import { assert } from "../lib/assert.ts";
import type { FromVision, ToVision } from "../observation/messages.ts";
import { createVisionClock } from "./clock.ts";
import { Reader } from "./reader.ts";
import type { FromModelThread, ModelThreadData, ToModelThread } from "./thread-messages.ts";

const REPORT_MS = 1000;
/** Messages that main has not taken yet; beyond it observations are left out: newest frame wins here too. */
const UNSENT_MAX = 64;
const UNSENT_SAMPLES_MAX = 8;

/** @param workerUrl module that runs the model thread */
export function runVisionChild(workerUrl: URL): void {
  assert(process.send !== undefined, "the vision process is started by main, with an IPC channel");
  const clock = createVisionClock();
  const data: ModelThreadData = {
    wakeFlag: new SharedArrayBuffer(4),
    trackPrefix: `t${randomBytes(5).toString("hex")}`,
  };
  const flag = new Int32Array(data.wakeFlag);
  // Nothing else of the environment is needed there, and what is not there cannot leak.
  const cache = process.env["NODE_COMPILE_CACHE"];
  const worker = new Worker(workerUrl, {
    workerData: data,
    env: cache === undefined ? {} : { NODE_COMPILE_CACHE: cache },
    resourceLimits: { maxYoungGenerationSizeMb: 8 },
  });
  const post = (message: ToModelThread): void => worker.postMessage(message);
  const send = sender();
  const reader = new Reader(
    {
      onMemory: (cameraId, memory, counters) =>
        post({ kind: "camera", cameraId, memory, counters }),
      onFrame: () => {
        if (Atomics.exchange(flag, 0, 1) === 0) post({ kind: "wake" });
      },
      onGone: (cameraId) => post({ kind: "gone", cameraId }),
      send,
    },
    clock,
  );
  worker.on("message", (message: FromModelThread) => {
    send(message);
    // This process ends by SIGKILL, so what it compiled is stored while it lives.
    if (message.kind === "load-pack") flushCompileCache();
  });
  // Without models this process is of no use: main sees its end and starts another.
  worker.on("error", (error) => stop(`the model thread failed: ${error.message}`));
  worker.on("exit", () => stop("the model thread ended"));
  process.on("message", (message: ToVision, handle: unknown) => {
    if (message.kind === "attach") {
      if (handle instanceof Socket) reader.attach(message, handle);
    } else if (message.kind === "detach") reader.detach(message.cameraId);
    else post(message);
  });
  process.on("disconnect", () => stop("main is gone"));
  // Main decides when this process ends: a Ctrl-C in a terminal reaches the whole group.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.on(signal, () => undefined);
  clock.every(REPORT_MS, () => reader.report());
}

function sender(): (message: FromVision) => void {
  let unsent = 0;
  return (message) => {
    if (unsent >= UNSENT_MAX && message.kind === "observe") return;
    // Megabytes: what main has no time for now must not wait here.
    if (unsent >= UNSENT_SAMPLES_MAX && message.kind === "sample") return;
    unsent += 1;
    process.send?.(message, undefined, {}, () => {
      unsent -= 1;
    });
  };
}

/** A thread inside a native call cannot be ended in any other way than with the process. */
function stop(reason: string): never {
  process.stderr.write(`${reason.slice(0, 500)}\n`);
  process.exit(1);
}
