/** The shape of a command: what it takes, whether it changes anything, and how its effect is separated from its work. */
import type { z } from "zod";
import type { RecordTransaction } from "../gallery/record.ts";
import type { Answer } from "../lib/envelope.ts";
import type { CommandDeps } from "./deps.ts";

export interface CommandContext extends CommandDeps {
  /** Id of the key that signed, or `local` for the control socket: the actor of its events. */
  readonly actor: string;
  readonly commandId: string;
}

/**
 * The effect of a command, ready to run in one transaction together with its id and number. Refusals are
 * effects that only answer. Until `commit` runs nothing has happened; it must not wait.
 */
export interface Prepared {
  readonly commit: (tx: RecordTransaction) => Answer;
}

/** A command that takes its time: `start` is committed first, `run` works, what it returns is committed last. */
export interface Started extends Prepared {
  /** @param report tells the client how it goes; never stored */
  readonly run: (
    report: (progress: Readonly<Record<string, unknown>>) => void,
    signal: AbortSignal,
  ) => Promise<Prepared>;
}

type Bound<Run> =
  | { readonly kind: "bound"; readonly run: Run }
  | { readonly kind: "invalid"; readonly message: string };
type Bind<Result> = (
  args: unknown,
) => Bound<(context: CommandContext, signal: AbortSignal) => Promise<Result>>;

/** `bind` checks the arguments once. @throws (when run) a Fault when it could not be tried: nothing is stored then */
export type Command =
  | {
      readonly kind: "read";
      readonly summary: string;
      readonly args: z.ZodType;
      readonly bind: Bind<Answer>;
    }
  | {
      readonly kind: "change";
      readonly summary: string;
      readonly args: z.ZodType;
      readonly bind: Bind<Prepared>;
    }
  /** `start` may also return a plain {@link Prepared}: a refusal that ends it. */
  | {
      readonly kind: "long";
      readonly summary: string;
      readonly args: z.ZodType;
      readonly bind: Bind<Prepared | Started>;
    };

type Run<Schema extends z.ZodType, Result> = (
  args: z.output<Schema>,
  context: CommandContext,
  signal: AbortSignal,
) => Promise<Result>;

export const reads = <Schema extends z.ZodType>(
  summary: string,
  args: Schema,
  run: Run<Schema, Answer>,
): Command => ({
  kind: "read",
  summary,
  args,
  bind: binder(args, run),
});

export const changes = <Schema extends z.ZodType>(
  summary: string,
  args: Schema,
  prepare: Run<Schema, Prepared>,
): Command => ({
  kind: "change",
  summary,
  args,
  bind: binder(args, prepare),
});

export const takesLong = <Schema extends z.ZodType>(
  summary: string,
  args: Schema,
  start: Run<Schema, Prepared | Started>,
): Command => ({
  kind: "long",
  summary,
  args,
  bind: binder(args, start),
});

function binder<Schema extends z.ZodType, Result>(
  schema: Schema,
  run: Run<Schema, Result>,
): Bind<Result> {
  return (raw) => {
    const parsed = schema.safeParse(raw ?? {});
    if (parsed.success)
      return { kind: "bound", run: (context, signal) => run(parsed.data, context, signal) };
    // Path and rule only: a value may be a name or a picture.
    const problems = parsed.error.issues
      .slice(0, 5)
      .map((issue) => `${["args", ...issue.path].map(String).join(".")}: ${issue.message}`);
    return { kind: "invalid", message: problems.join("; ").slice(0, 1000) };
  };
}

export const done = (data: unknown): Answer => ({ ok: true, data });
export const refusal = (code: string, message: string, reasons?: readonly string[]): Answer => ({
  ok: false,
  error: { code, message, ...(reasons === undefined ? {} : { reasons }) },
});
/** An effect that only answers. */
export const answers = (answer: Answer): Prepared => ({ commit: () => answer });
/** Not the last answer: a long command goes on. Every other answer is final. */
export const isProgress = (answer: Answer): boolean => answer.ok && answer.progress !== undefined;
