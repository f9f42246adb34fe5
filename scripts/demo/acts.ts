/** The play: a stranger is denied, enrolled, granted, erased, and denied again. */
import { progressText } from "../../src/cli/answer.ts";
import type { Clock } from "../../src/lib/clock.ts";
import type { Answer } from "../../src/lib/envelope.ts";
import { type CommandClient, isFinal } from "../../src/mqtt/client.ts";
import { CAMERA, GROUP } from "./daemon.ts";
import type { HeardDecision } from "./feed.ts";
import type { Stage } from "./stage.ts";
import type { View } from "./view.ts";

export const PERSON = "visitor";

export interface ActResult {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
  /** First usable frame → decision received, of the decision that the act is about. */
  readonly latencyMs?: number;
}

/** Decisions as they arrive; `latencyOf` waits a moment for the event that tells it. */
export interface Decisions {
  readonly since: (fromMs: number) => readonly HeardDecision[];
  readonly latencyOf: (id: string) => Promise<number | undefined>;
}

export interface ActDeps {
  readonly decisions: Decisions;
  readonly commands: CommandClient;
  readonly stage: Stage;
  readonly view: View;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const ANSWER_MS = 60_000;
const LOOK_MS = 50;
/** Nobody may still be in the picture when the next act begins. */
const LIVE_PAUSE_MS = 4000;

export async function playActs(deps: ActDeps): Promise<readonly ActResult[]> {
  const { view, stage } = deps;
  const acts: ActResult[] = [];
  const ask = stage.kind === "live" ? ": please step in front of the camera" : "";
  const back = stage.kind === "live" ? ": step away, then come back" : "";
  view.act(`1/5  a stranger walks up${ask}`);
  acts.push(await walk(deps, "a stranger is denied as unknown", "unknown"));
  view.act(
    `2/5  the administrator enrols this person by a signed MQTT command${stage.kind === "live" ? ": look into the camera, turn your head a little" : ""}`,
  );
  acts.push(await enrol(deps));
  view.act(`3/5  the same person walks up${back}`);
  acts.push(await walk(deps, "the enrolled person is granted", "granted"));
  view.act("4/5  the administrator erases this person");
  acts.push(
    await command(deps, "erased by a signed MQTT command", "identity/erase", { id: PERSON }),
  );
  view.act(`5/5  the same person walks up once more${back}`);
  acts.push(await walk(deps, "the erased person is denied again", "unknown"));
  view.act("the end");
  return acts;
}

/** One entrance, watched to its end: a grant that should not be fails the act whenever it comes. */
async function walk(
  deps: ActDeps,
  name: string,
  wanted: "unknown" | "granted",
): Promise<ActResult> {
  const { decisions, stage, clock, signal } = deps;
  if (stage.kind === "live") await clock.sleep(LIVE_PAUSE_MS, signal);
  const from = clock.monotonicMs();
  stage.enter();
  const isWanted = (decision: HeardDecision): boolean =>
    wanted === "granted"
      ? decision.outcome === "grant" && decision.identity === PERSON
      : decision.outcome === "deny" && decision.reason === "unknown";
  const isWrong = (decision: HeardDecision): boolean =>
    decision.outcome === "grant" && (wanted === "unknown" || decision.identity !== PERSON);
  let met: HeardDecision | undefined;
  while (clock.monotonicMs() - from < stage.walkMs && !signal.aborted) {
    const heard = decisions.since(from);
    const wrong = heard.find(isWrong);
    if (wrong !== undefined)
      return { name, ok: false, detail: `the door was granted to ${wrong.identity ?? "somebody"}` };
    met ??= heard.find(isWanted);
    if (met !== undefined && stage.kind === "live") break;
    await clock.sleep(LOOK_MS, signal);
  }
  signal.throwIfAborted();
  if (met === undefined) return { name, ok: false, detail: missed(decisions.since(from)) };
  const latencyMs = await decisions.latencyOf(met.id);
  const detail =
    latencyMs === undefined ? "" : `${Math.round(latencyMs)} ms after the first usable frame`;
  return { name, ok: true, detail, ...(latencyMs === undefined ? {} : { latencyMs }) };
}

function missed(heard: readonly HeardDecision[]): string {
  if (heard.length === 0) return "no decision arrived";
  return `heard instead: ${[...new Set(heard.map(({ outcome, reason }) => `${outcome} (${reason})`))].join(", ")}`;
}

async function enrol(deps: ActDeps): Promise<ActResult> {
  const { stage } = deps;
  const name = "enrolled by signed MQTT commands";
  const put = await command(deps, name, "identity/put", {
    id: PERSON,
    displayName: stage.kind === "clip" ? "Eileen Collins" : "You",
    groups: [GROUP],
  });
  if (!put.ok) return put;
  if (stage.portrait === undefined)
    return command(deps, name, "enrolment/start", { id: PERSON, cameraId: CAMERA });
  const image = Buffer.from(await stage.portrait()).toString("base64");
  return command(deps, name, "enrolment/add-image", { id: PERSON, image });
}

async function command(
  deps: ActDeps,
  name: string,
  cmd: string,
  args: unknown,
): Promise<ActResult> {
  const { commands, view, clock, signal } = deps;
  const from = clock.monotonicMs();
  let last: Answer | undefined;
  for await (const answer of commands.send(cmd, args, { timeoutMs: ANSWER_MS, signal })) {
    last = answer;
    if (answer.ok && !isFinal(answer)) view.fact("enrolment", progressText(answer.progress));
  }
  const detail =
    last?.ok === true
      ? `${cmd} answered in ${Math.round(clock.monotonicMs() - from)} ms`
      : `${cmd}: ${last?.error.message ?? "no answer"}`;
  return { name, ok: last?.ok === true, detail };
}
