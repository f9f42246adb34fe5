/** Entry of a vision process whose model thread does as tests tell it: see `worker.ts` beside it. */
import { runVisionChild } from "../../../src/vision/child.ts";

runVisionChild(new URL("./worker.ts", import.meta.url));
