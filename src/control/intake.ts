/** MQTT commands on their way to the dispatcher: checked, told apart, answered. */
import type { Clock } from "../lib/clock.ts";
import type { Answer } from "../lib/envelope.ts";
import { type AuthorityContext, checkCommand } from "../mqtt/authority.ts";
import type { IncomingCommand, ReplyTarget } from "../mqtt/command.ts";
import type { Dispatcher } from "./dispatcher.ts";

export interface IntakeDeps {
  readonly commands: AsyncIterable<IncomingCommand>;
  /** Keys may change at a reload: asked for each command. */
  readonly authority: () => Omit<AuthorityContext, "now">;
  readonly dispatcher: Dispatcher;
  readonly answer: (target: ReplyTarget, answer: Answer) => void;
  readonly clock: Pick<Clock, "epochMs">;
  readonly onRefused: (code: string) => void;
}

/** Ends when the commands end. A command that runs does not hold up the next; the dispatcher orders them. */
export async function takeCommands(deps: IntakeDeps): Promise<void> {
  for await (const raw of deps.commands) {
    const verdict = checkCommand(raw, { ...deps.authority(), now: deps.clock.epochMs() });
    if (verdict.kind === "refused") {
      deps.onRefused(verdict.code);
      const { code, message } = verdict;
      if (verdict.replyTo !== undefined)
        deps.answer(verdict.replyTo, { ok: false, error: { code, message } });
      continue;
    }
    const { id, kid, stream, seq, cmd, args } = verdict.payload;
    void deps.dispatcher.submit(
      { id, kid, stream, seq, name: cmd, args, source: "mqtt" },
      (answer) => deps.answer(verdict.replyTo, answer),
    );
  }
}
