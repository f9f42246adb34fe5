/** What a reload may change while the daemon runs. */
import { isDeepStrictEqual } from "node:util";
import type { Config } from "./schema.ts";

/** Dotted keys of the configuration. */
export interface ConfigDiff {
  /** Applied at once. */
  readonly live: readonly string[];
  /** Kept as they were until the daemon is restarted. */
  readonly restart: readonly string[];
}

const LIVE = [
  "access",
  "enrolment",
  "cameras",
  "control.keys",
  "control.snapshot",
  "telemetry.level",
] as const;
const SPLIT = ["control", "telemetry"] as const;

export function diffConfig(before: Config, after: Config): ConfigDiff {
  const changed: string[] = [];
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)]) as Set<keyof Config>) {
    if (isDeepStrictEqual(before[key], after[key])) continue;
    const split = SPLIT.find((each) => each === key);
    if (split === undefined) changed.push(key);
    else changed.push(...changedBelow(split, before[split], after[split]));
  }
  const isLive = (key: string): boolean => LIVE.some((each) => each === key);
  return { live: changed.filter(isLive), restart: changed.filter((key) => !isLive(key)) };
}

/** `before` with the live parts of `after`: what is in force after a reload. */
export function mergeLive(before: Config, after: Config): Config {
  return {
    ...before,
    access: after.access,
    enrolment: after.enrolment,
    cameras: after.cameras,
    control: { ...before.control, keys: after.control.keys, snapshot: after.control.snapshot },
    telemetry: { ...before.telemetry, level: after.telemetry.level },
  };
}

function changedBelow(key: string, before: object, after: object): readonly string[] {
  const old: Readonly<Record<string, unknown>> = { ...before };
  const fresh: Readonly<Record<string, unknown>> = { ...after };
  const names = new Set([...Object.keys(old), ...Object.keys(fresh)]);
  return [...names]
    .filter((name) => !isDeepStrictEqual(old[name], fresh[name]))
    .map((name) => `${key}.${name}`);
}
