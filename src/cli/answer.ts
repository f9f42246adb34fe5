/** How the answer to a command reaches the user. */
import { z } from "zod";
import type { Answer } from "../lib/envelope.ts";
import { EXIT, type ExitCode } from "./exit.ts";
import { printJson, type Terminal } from "./terminal.ts";

/** Prints an answer as it is. Refusals go to stderr, unless JSON was asked for. @returns the exit code it means */
export function printAnswer(
  terminal: Terminal,
  answer: Answer,
  json: boolean,
  text: (data: unknown) => string,
): ExitCode {
  if (json) printJson(terminal, { schema: 1, ...answer });
  else if (answer.ok) terminal.out(text(answer.data));
  else terminal.error(`ostiary: ${answer.error.message} (${answer.error.code})\n`);
  return answer.ok ? EXIT.ok : EXIT.refused;
}

/** Data of an answer whose shape is not worth a table: indented JSON. */
export const plain = (data: unknown): string =>
  data === undefined ? "done\n" : `${JSON.stringify(data, null, 2)}\n`;

const EnrolmentProgress = z.object({
  accepted: z.number(),
  wanted: z.number(),
  lastReason: z.string().optional(),
  hints: z.array(z.string()).default([]),
});

/** What a long command says on the way, for the eye: shots and hints of an enrolment, else as it is. */
export function progressText(progress: unknown): string {
  const parsed = EnrolmentProgress.safeParse(progress);
  if (!parsed.success) return JSON.stringify(progress);
  const { accepted, wanted, lastReason, hints } = parsed.data;
  const why = hints.length > 0 ? hints : lastReason === undefined ? [] : [lastReason];
  const words = why.map((code) => code.replaceAll("_", " ")).join(", ");
  return `${accepted} of ${wanted} shots${words === "" ? "" : `: ${words}`}`;
}
