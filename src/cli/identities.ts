/** `identities`, `erase`, `disable`: the daemon's commands, asked over its control socket. */
import { z } from "zod";
import { plain, printAnswer } from "./answer.ts";
import type { Action, CommandContext } from "./command.ts";
import { openControl } from "./control.ts";
import { EXIT, type ExitCode } from "./exit.ts";
import { printJson, tableOf } from "./terminal.ts";

/** What the CLI shows of a person; the daemon may say more. */
const Shown = z.object({
  id: z.string(),
  displayName: z.string(),
  groups: z.array(z.string()),
  enabled: z.boolean(),
});
const Page = z.object({
  identities: z.array(z.looseObject(Shown.shape)),
  next: z.string().optional(),
});

export const list: Action = async (context) => {
  const { args, terminal, signal } = context;
  await using control = await openControl(context);
  const identities: z.infer<typeof Page>["identities"] = [];
  for (let cursor: string | undefined, first = true; first || cursor !== undefined; first = false) {
    const answer = await control.ask(
      "identity/list",
      { limit: 200, ...(cursor === undefined ? {} : { cursor }) },
      signal,
    );
    if (!answer.ok) return printAnswer(terminal, answer, args.flag("json"), plain);
    const page = Page.parse(answer.data);
    identities.push(...page.identities);
    cursor = page.next;
  }
  if (args.flag("json")) printJson(terminal, { schema: 1, identities });
  else if (identities.length === 0) terminal.out("Nobody is enrolled.\n");
  else
    terminal.out(
      tableOf(
        ["ID", "NAME", "GROUPS", "ENABLED"],
        identities.map((one) => [
          one.id,
          one.displayName,
          one.groups.join(","),
          one.enabled ? "yes" : "no",
        ]),
      ),
    );
  return EXIT.ok;
};

export const show: Action = (context) => about(context, "identity/get", plain);
export const erase: Action = (context) =>
  about(context, "identity/erase", () => `${context.args.operand(0)} is erased\n`);
export const disable: Action = (context) =>
  about(context, "identity/disable", () => `${context.args.operand(0)} is disabled\n`);

async function about(
  context: CommandContext,
  command: string,
  text: (data: unknown) => string,
): Promise<ExitCode> {
  const { args, terminal, signal } = context;
  await using control = await openControl(context);
  const answer = await control.ask(command, { id: args.operand(0) }, signal);
  return printAnswer(terminal, answer, args.flag("json"), text);
}
