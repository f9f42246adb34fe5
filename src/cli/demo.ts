/** `demo`: the orchestration lives in `scripts/demo`, outside of what runs at a door. */
import type { Action } from "./command.ts";

export const demo: Action = async (context) => {
  const { runDemo } = await import("../../scripts/demo/main.ts");
  return runDemo(context);
};
