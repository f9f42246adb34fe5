/** What happens to the business: one function per event, each a log line and a number. */

import type { Decision } from "../decision/decision.ts";
import type { CameraId } from "../lib/brand.ts";
import type { Log } from "../lib/log.ts";
import type { Metrics } from "./metrics.ts";

/** What is true now, sampled. */
export interface Figures {
  readonly identities: number;
  readonly templates: number;
  /** Sampled recall of the index that serves against exact search; absent before the first sample. */
  readonly recall: number | undefined;
  readonly clockTrusted: boolean;
  readonly brokerConnected: boolean;
}

export interface Events {
  readonly started: (facts: {
    readonly version: string;
    readonly packId: string;
    readonly provider: string;
    readonly startMs: number;
  }) => void;
  /** `latencyMs`: from the first usable frame's capture to now. */
  readonly decided: (decision: Decision, latencyMs: number | undefined) => void;
  /** Counts; the camera logs its own changes. Saying the same state again changes nothing. */
  readonly cameraChanged: (cameraId: CameraId, state: string) => void;
  readonly visionChanged: (state: string, reason?: string) => void;
  readonly commandHandled: (
    command: string,
    code: string,
    source: "mqtt" | "socket",
    ms: number,
  ) => void;
  readonly commandRefused: (code: string) => void;
  readonly measured: (figures: Figures) => void;
  readonly healthChanged: (failing: readonly string[]) => void;
  readonly configReloaded: (applied: readonly string[], needRestart: readonly string[]) => void;
}

const LATENCY_BUCKETS = [0.05, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.75, 1, 2, 5];
const COMMAND_BUCKETS = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10];

interface EventDeps {
  readonly log: Log;
  readonly metrics: Metrics;
}

export function createEvents(deps: EventDeps): Events {
  return {
    ...doorEvents(deps),
    ...partEvents(deps),
    ...commandEvents(deps),
    ...deviceEvents(deps),
  };
}

function doorEvents({ log, metrics }: EventDeps): Pick<Events, "decided"> {
  const decisions = metrics.counter(
    "ostiary_decisions_total",
    "decisions by door, outcome and reason",
    ["door", "outcome", "reason"],
  );
  const latency = metrics.histogram(
    "ostiary_decision_latency_seconds",
    "first usable frame to decision",
    LATENCY_BUCKETS,
    ["door"],
  );
  return {
    decided: (decision, latencyMs) => {
      decisions.add({ door: decision.doorId, outcome: decision.outcome, reason: decision.reason });
      if (latencyMs !== undefined) latency.observe({ door: decision.doorId }, latencyMs / 1000);
      const { id, doorId, cameraId, outcome, reason, scoreBand, frames } = decision;
      log.info(
        { decisionId: id, doorId, cameraId, outcome, reason, scoreBand, frames, latencyMs },
        "decided",
      );
    },
  };
}

function partEvents({ log, metrics }: EventDeps): Pick<Events, "cameraChanged" | "visionChanged"> {
  const cameras = metrics.counter("ostiary_camera_changes_total", "changes of a camera's state", [
    "camera",
    "state",
  ]);
  const vision = metrics.counter(
    "ostiary_vision_changes_total",
    "changes of the vision process's state",
    ["state"],
  );
  const lastOf = new Map<CameraId, string>();
  return {
    cameraChanged: (cameraId, state) => {
      if (lastOf.get(cameraId) === state) return;
      lastOf.set(cameraId, state);
      cameras.add({ camera: cameraId, state });
    },
    visionChanged: (state, reason) => {
      vision.add({ state });
      log.info({ state, reason }, "vision changed state");
    },
  };
}

function commandEvents({
  log,
  metrics,
}: EventDeps): Pick<Events, "commandHandled" | "commandRefused"> {
  const commands = metrics.counter(
    "ostiary_commands_total",
    "commands by name, answer code and source",
    ["command", "code", "source"],
  );
  const commandTime = metrics.histogram(
    "ostiary_command_seconds",
    "time to the final answer",
    COMMAND_BUCKETS,
    ["command"],
  );
  const refused = metrics.counter(
    "ostiary_commands_refused_total",
    "commands refused before they had a name",
    ["code"],
  );
  return {
    commandHandled: (command, code, source, ms) => {
      commands.add({ command, code, source });
      commandTime.observe({ command }, ms / 1000);
      log.info({ command, code, source, ms: Math.round(ms) }, "command handled");
    },
    commandRefused: (code) => {
      refused.add({ code });
      log.warn({ code }, "command refused");
    },
  };
}

function deviceEvents({
  log,
  metrics,
}: EventDeps): Pick<Events, "started" | "measured" | "healthChanged" | "configReloaded"> {
  const trusted = metrics.gauge("ostiary_clock_trusted_info", "1 while the wall clock is trusted");
  const connected = metrics.gauge("ostiary_broker_connected_info", "1 while the broker is reached");
  const identities = metrics.gauge("ostiary_gallery_identities_count", "enrolled people");
  const templates = metrics.gauge("ostiary_gallery_templates_count", "stored templates");
  const recall = metrics.gauge(
    "ostiary_index_recall_ratio",
    "recall of the index against exact search, sampled",
  );
  const unhealthy = metrics.gauge("ostiary_failing_checks_count", "health checks that fail now");
  return {
    started: (facts) => log.info({ ...facts, startMs: Math.round(facts.startMs) }, "started"),
    measured: (figures) => {
      identities.set({}, figures.identities);
      templates.set({}, figures.templates);
      if (figures.recall !== undefined) recall.set({}, figures.recall);
      trusted.set({}, figures.clockTrusted ? 1 : 0);
      connected.set({}, figures.brokerConnected ? 1 : 0);
    },
    healthChanged: (failing) => unhealthy.set({}, failing.length),
    configReloaded: (applied, needRestart) =>
      log.info(
        { applied: applied.join(","), needRestart: needRestart.join(",") },
        "configuration read again",
      ),
  };
}
