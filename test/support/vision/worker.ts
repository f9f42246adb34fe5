/**
 * The model thread with the real models and some mischief. `directory` of the pack may end in
 * `?slowMs=N` (every detection blocks the thread that long); pictures that begin with a word do as it says.
 */
import { parentPort } from "node:worker_threads";
import { Models } from "../../../src/vision/models.ts";
import { runWorker } from "../../../src/vision/run-worker.ts";

const block = (ms: number): void =>
  void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

runWorker(async (directory, options) => {
  const [path = "", query = ""] = directory.split("?");
  const slowMs = Number(new URLSearchParams(query).get("slowMs") ?? 0);
  const models = await Models.open(path, options);
  const mischief: Record<string, () => void> = {
    HANG: () => block(3_600_000),
    CRASH: () => process.kill(process.pid, "SIGSEGV"),
    THROW: () =>
      setImmediate(() => {
        throw new Error("a model failed");
      }),
    NONSENSE: () =>
      parentPort?.postMessage({ kind: "observe", cameraId: "../../etc", observations: "many" }),
  };
  return new Proxy(models, {
    get(target, name) {
      if (name === "detect" && slowMs > 0) {
        return (...args: Parameters<Models["detect"]>) => {
          block(slowMs);
          return target.detect(...args);
        };
      }
      if (name === "analyse") {
        return (...args: Parameters<Models["analyse"]>) => {
          mischief[Buffer.from(args[0]).toString("latin1").split(" ")[0] ?? ""]?.();
          return target.analyse(...args);
        };
      }
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
});
