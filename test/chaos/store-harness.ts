/**
 * A process to be killed: gives a store seeded commands and says on stdout what it is about to do and what
 * was acknowledged, one JSON line each, written before anything else happens.
 *
 *   node store-harness.ts DIRECTORY SEED COUNT [STEPS_MODULE]
 */
import { writeSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { deviceKeyOf } from "../../src/store/device-key.ts";
import { StoreLimits } from "../../src/store/limits.ts";
import { Store } from "../../src/store/store.ts";
import { seeded, seededBytes } from "../store/support.ts";
import { RecordingLog } from "../support/log.ts";
import type { MakeSteps } from "./store-steps.ts";

export type HarnessLine =
  | { readonly kind: "opened" }
  | {
      readonly kind: "begin";
      readonly id: string;
      readonly seq: number;
      readonly step: string;
      readonly identityId: string;
    }
  /** `nonces`: what this command drew of 12 bytes, in hex. They lie in clear at the head of everything it sealed. */
  | {
      readonly kind: "acknowledged";
      readonly id: string;
      readonly seq: number;
      readonly answer: unknown;
      readonly nonces: readonly string[];
    };

const [directory = "", seedText = "1", countText = "8", stepsModule] = process.argv.slice(2);
const say = (line: HarnessLine): void => void writeSync(1, `${JSON.stringify(line)}\n`);

const seed = Number(seedText);
const bytes = seededBytes(seed);
let nonces: string[] = [];
const randomBytes = (size: number): Uint8Array => {
  const drawn = bytes(size);
  if (size === 12) nonces.push(Buffer.from(drawn).toString("hex"));
  return drawn;
};

const { steps } = (await import(
  stepsModule === undefined ? "./store-steps.ts" : pathToFileURL(stepsModule).href
)) as { steps: MakeSteps };
const keys = deviceKeyOf(new Uint8Array(32).fill(5), randomBytes);
using store = Store.open(
  { directory, keys, limits: StoreLimits.parse({}) },
  { log: new RecordingLog(), randomBytes },
);
say({ kind: "opened" });
let seq = 0;
for (const step of steps(store, seeded(seed * 7919))) {
  seq += 1;
  if (seq > Number(countText)) break;
  const id = `command-${seq}`;
  nonces = [];
  say({ kind: "begin", id, seq, step: step.kind, identityId: step.identityId });
  const answer = step.run({ id, seq });
  say({ kind: "acknowledged", id, seq, answer, nonces });
}
