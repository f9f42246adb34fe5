/** The model thread's entry: ONNX Runtime's run() blocks, so the models have a thread of their own. */
import { Models } from "./models.ts";
import { runWorker } from "./run-worker.ts";

runWorker((directory, options) => Models.open(directory, options));
