/** `update`: what the daemon does about model updates, asked over its control socket. */
import { z } from "zod";
import { plain, printAnswer } from "./answer.ts";
import type { Action, CommandContext } from "./command.ts";
import { openControl } from "./control.ts";
import type { ExitCode } from "./exit.ts";

const Pack = z.object({ id: z.string(), releaseCounter: z.number(), spaceId: z.string() });

/** What the CLI shows; `--json` shows all of it. */
const Status = z.object({
  state: z.string(),
  active: Pack,
  previous: Pack.nullable(),
  candidate: Pack.optional(),
  jobId: z.string().optional(),
  deferred: z.string().optional(),
  progress: z.number().optional(),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
  metadataExpired: z.boolean().optional(),
  lastCheckAt: z.string().nullable(),
  missing: z.array(z.string()),
});

export const status: Action = (context) => ask(context, "update/status");
export const check: Action = (context) => ask(context, "update/check");
export const apply: Action = (context) => ask(context, "update/apply");
export const abort: Action = (context) => ask(context, "update/abort");
export const rollback: Action = (context) => ask(context, "update/rollback");

async function ask(context: CommandContext, command: string): Promise<ExitCode> {
  const { args, terminal, signal } = context;
  await using control = await openControl(context);
  const answer = await control.ask(command, {}, signal);
  return printAnswer(terminal, answer, args.flag("json"), statusText);
}

export function statusText(data: unknown): string {
  const parsed = Status.safeParse(data);
  if (!parsed.success) return plain(data);
  const { state, active, previous, candidate, jobId, deferred, progress, error, missing } =
    parsed.data;
  const { lastCheckAt, metadataExpired } = parsed.data;
  const lines: readonly (readonly [string, string | undefined])[] = [
    ["state", [state, percentOf(progress)].filter(Boolean).join(" ")],
    ["waits for", deferred?.replaceAll("_", " ")],
    ["active", packText(active)],
    ["before it", previous === null ? "the factory pack" : packText(previous)],
    ["candidate", candidate === undefined ? undefined : packText(candidate)],
    ["job", jobId],
    ["last check", lastCheckAt ?? "never"],
    ["problem", error === undefined ? undefined : `${error.message} (${error.code})`],
    ["alarm", metadataExpired === true ? "the repository's metadata is past its date" : undefined],
    ["without a picture", missing.length === 0 ? undefined : missing.join(", ")],
  ];
  return lines
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name.padEnd(18)} ${value}\n`)
    .join("");
}

function packText({ id, releaseCounter, spaceId }: z.infer<typeof Pack>): string {
  return `${id} (release ${releaseCounter}, space ${spaceId})`;
}

function percentOf(progress: number | undefined): string | undefined {
  return progress === undefined ? undefined : `${Math.round(progress * 100)} %`;
}
