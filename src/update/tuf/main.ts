/** Entry of the checking child: one request in, one answer out, end. */
import { assert } from "../../lib/assert.ts";
import { createClock } from "../../system/clock.ts";
import { fixDate } from "./fixed-date.ts";
import { answerOf, CheckRequest } from "./messages.ts";

assert(
  process.send !== undefined,
  "the checking child is started by the daemon, over an IPC channel",
);
const stop = new AbortController();
process.once("disconnect", () => process.exit(1));
process.once("message", (message) => {
  const request = CheckRequest.parse(message);
  fixDate(request.now);
  void run(request);
});

async function run(request: CheckRequest): Promise<void> {
  // Only now: whoever asks for the time while it is loaded gets ours.
  const { runCheck } = await import("./check.ts");
  const checked = await runCheck(request, createClock(), stop.signal);
  process.send?.(answerOf(checked), () => process.disconnect());
}
