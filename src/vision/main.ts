/** Entry of the vision process. */
import { runVisionChild } from "./child.ts";

runVisionChild(
  new URL(import.meta.url.endsWith(".ts") ? "./worker.ts" : "./worker.js", import.meta.url),
);
