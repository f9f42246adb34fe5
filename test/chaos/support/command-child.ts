/** The process that is killed: runs the script, says each final answer on stdout as one line. `argv: directory` */
import { writeSync } from "node:fs";
import type { Answer } from "../../../src/lib/envelope.ts";
import { dispatcherOver, openStore } from "./command-harness.ts";
import { STEPS } from "./command-script.ts";

const store = openStore(process.argv[2] ?? "");
const dispatcher = dispatcherOver(store);
writeSync(1, "ready\n");
for (const step of STEPS) {
  let last: Answer | undefined;
  await dispatcher.submit(
    { ...step, kid: "0123456789abcdef", stream: "stream-0001", source: "mqtt" },
    (answer) => {
      last = answer;
    },
  );
  writeSync(1, `${JSON.stringify({ id: step.id, answer: last })}\n`);
}
store[Symbol.dispose]();
