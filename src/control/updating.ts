/** Updates among the edges: what a pack is tried beside, replaced by, and judged by. */
import type { Config } from "../config/schema.ts";
import { ProbationOptions } from "../release/probation.ts";
import { SelfTestOptions } from "../release/self-test.ts";
import { ShadowOptions } from "../release/shadow.ts";
import { EnrolmentSessions } from "./enrolment-sessions.ts";
import { ProbationWatch } from "./probation.ts";
import { ApplianceRuntime, type RuntimeDeps } from "./runtime.ts";

export interface UpdatingDeps extends Omit<RuntimeDeps, "probation" | "match" | "isEnrolling"> {
  /** In force now: a reload changes some of it. */
  readonly config: () => Config;
}

export interface Updating extends AsyncDisposable {
  readonly probation: ProbationWatch;
  readonly runtime: ApplianceRuntime;
  readonly sessions: EnrolmentSessions;
  /** Until `signal` aborts. */
  readonly run: (signal: AbortSignal) => Promise<void>;
}

export function updatingOf({ config, ...deps }: UpdatingDeps): Updating {
  const { update, vision } = config();
  const sessions = new EnrolmentSessions();
  const probation = new ProbationWatch(deps);
  const runtime = new ApplianceRuntime(
    {
      vision,
      selfTest: update?.selfTest ?? SelfTestOptions.parse({}),
      shadow: update?.shadow ?? ShadowOptions.parse({}),
    },
    {
      ...deps,
      log: deps.log.child({ part: "update" }),
      probation,
      match: () => config().match,
      isEnrolling: () => sessions.isAny,
    },
  );
  const { sentinelEveryMs } = update?.probation ?? ProbationOptions.parse({});
  return {
    probation,
    runtime,
    sessions,
    run: async (signal) => {
      await Promise.all([probation.run(sentinelEveryMs, signal), runtime.run(signal)]);
    },
    [Symbol.asyncDispose]: () => runtime[Symbol.asyncDispose](),
  };
}
