/** Between the daemon and its checking child: one request, one answer. */
import { z } from "zod";
import { epochMs } from "../../lib/brand.ts";
import { Fault } from "../../lib/fault.ts";
import { DesiredState } from "../../release/desired.ts";
import { TargetCustom } from "../../release/repository.ts";
import { RepositoryOptions } from "./options.ts";
import { type Checked, Floors } from "./source.ts";

const instant = z.number().transform(epochMs);

export const CheckRequest = z.strictObject({
  options: RepositoryOptions,
  /** File with the TUF root that this device trusts from the start; read only. */
  pinnedRoot: z.string(),
  /** Where verified metadata is kept. */
  stateDirectory: z.string(),
  runtime: z.strictObject({ hardware: z.string(), version: z.string() }),
  wanted: DesiredState.shape.pack,
  floors: Floors.optional(),
  now: instant,
});
export type CheckRequest = z.infer<typeof CheckRequest>;

const Answer = z.strictObject({
  outcome: z.discriminatedUnion("kind", [
    z.strictObject({
      kind: z.literal("found"),
      target: TargetCustom,
      packJson: z.instanceof(Uint8Array),
    }),
    z.strictObject({
      kind: z.literal("refused"),
      code: z.string(),
      message: z.string(),
      retry: z.enum(["now", "later", "never"]),
      isExpired: z.boolean(),
    }),
  ]),
  floors: Floors.optional(),
  issuedAt: instant.optional(),
});

/** A fault does not survive the way between processes as one: it is taken apart and put together. */
export function answerOf({ outcome, floors, issuedAt }: Checked): object {
  return {
    outcome:
      outcome.kind === "found"
        ? outcome
        : {
            kind: "refused",
            code: outcome.fault.code,
            message: outcome.fault.message,
            retry: outcome.fault.retry,
            isExpired: outcome.isExpired,
          },
    ...(floors === undefined ? {} : { floors }),
    ...(issuedAt === undefined ? {} : { issuedAt }),
  };
}

/** @returns undefined when the child said something else */
export function checkedOf(message: unknown): Checked | undefined {
  const parsed = Answer.safeParse(message);
  if (!parsed.success) return undefined;
  const { outcome, floors, issuedAt } = parsed.data;
  if (outcome.kind === "found") return { outcome, floors, issuedAt };
  const { code, message: text, retry, isExpired } = outcome;
  const fault = new Fault(code, text, { retry });
  return { outcome: { kind: "refused", fault, isExpired }, floors, issuedAt };
}
