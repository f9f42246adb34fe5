/**
 * The process that is killed: runs the script, says each final answer on stdout as one line. `argv: directory`
 *
 * Two parts make it a `writev`, which nothing else in the process calls: `write` is also how threads
 * wake each other, a different number of times in each run.
 */
import { writevSync } from "node:fs";
import type { Answer } from "../../../src/lib/envelope.ts";
import { dispatcherOver, openStore } from "./command-harness.ts";
import { STEPS } from "./command-script.ts";

const store = openStore(process.argv[2] ?? "");
const dispatcher = dispatcherOver(store);
say("ready");
for (const step of STEPS) {
  let last: Answer | undefined;
  await dispatcher.submit(
    { ...step, kid: "0123456789abcdef", stream: "stream-0001", source: "mqtt" },
    (answer) => {
      last = answer;
    },
  );
  say(JSON.stringify({ id: step.id, answer: last }));
}
store[Symbol.dispose]();

function say(line: string): void {
  writevSync(1, [Buffer.from(line), Buffer.from("\n")]);
}
