/** Who may pass which door when. Default deny: what no rule allows is refused. */
import { z } from "zod";
import type { Identity } from "../gallery/identity.ts";
import type { CameraId, DoorId, EpochMs } from "../lib/brand.ts";
import { CameraIdSchema, DoorIdSchema, GroupName } from "../lib/id.ts";
import type { DenyReason } from "./decision.ts";
import { isOpen, Schedule } from "./schedule.ts";

/** Reserved schedule name: open at any time. */
export const ALWAYS = "always";

export const DoorRule = z.strictObject({
  id: DoorIdSchema.meta({ description: "name of the door, also its MQTT topic level" }),
  cameras: z
    .array(CameraIdSchema)
    .min(1)
    .max(32)
    .meta({ description: "cameras that watch this door; one camera may serve several doors" }),
  allow: z
    .record(z.string(), z.array(z.string().max(64)).min(1).max(32))
    .default({})
    .meta({
      description: `group → names of the schedules in which its members may pass ("${ALWAYS}" is built in)`,
    }),
});
export type DoorRule = z.infer<typeof DoorRule>;

export const AccessRules = z
  .strictObject({
    groups: z
      .array(GroupName)
      .max(1000)
      .default([])
      .meta({ description: "every group that a door may allow" }),
    schedules: z
      .record(z.string(), Schedule)
      .default({})
      .meta({ description: "weekly schedules by name" }),
    doors: z
      .array(DoorRule)
      .max(256)
      .default([])
      .meta({ description: "doors, each with its cameras and whom it allows" }),
  })
  .superRefine((rules, context) => {
    for (const { path, message } of problemsOf(rules))
      context.addIssue({ code: "custom", path: [...path], message });
  });
export type AccessRules = z.infer<typeof AccessRules>;

export interface RuleProblem {
  readonly path: readonly (string | number)[];
  /** Says what is wrong and how to mend it. */
  readonly message: string;
}

/** Names that lead nowhere. @param cameraIds every configured camera; left out, cameras are not checked */
export function problemsOf(
  rules: AccessRules,
  cameraIds?: readonly CameraId[],
): readonly RuleProblem[] {
  const problems: RuleProblem[] = [];
  const report = (path: readonly (string | number)[], message: string) =>
    problems.push({ path, message });
  if (Object.hasOwn(rules.schedules, ALWAYS))
    report(["schedules", ALWAYS], `"${ALWAYS}" is built in: choose another name`);
  for (const name of Object.keys(rules.schedules)) {
    const checked = GroupName.safeParse(name);
    if (!checked.success) {
      report(["schedules", name], `the name "${name}" ${checked.error.issues[0]?.message ?? ""}`);
    }
  }
  for (const [index, group] of rules.groups.entries()) {
    if (rules.groups.indexOf(group) !== index)
      report(["groups", index], `group "${group}" is listed twice: remove one`);
  }
  for (const [index, door] of rules.doors.entries()) {
    const at = ["doors", index] as const;
    if (rules.doors.findIndex((other) => other.id === door.id) !== index)
      report([...at, "id"], `door "${door.id}" exists twice: rename or merge one`);
    for (const [place, camera] of door.cameras.entries()) {
      if (door.cameras.indexOf(camera) !== place)
        report([...at, "cameras", place], `camera "${camera}" is listed twice: remove one`);
      if (cameraIds !== undefined && !cameraIds.includes(camera)) {
        report(
          [...at, "cameras", place],
          `no camera "${camera}" is configured: add it to cameras, or name one of ${listed(cameraIds)}`,
        );
      }
    }
    for (const [group, schedules] of Object.entries(door.allow)) {
      if (!rules.groups.includes(group))
        report(
          [...at, "allow", group],
          `no group "${group}" is declared: add it to groups, or name one of ${listed(rules.groups)}`,
        );
      for (const [place, name] of schedules.entries()) {
        if (name === ALWAYS || Object.hasOwn(rules.schedules, name)) continue;
        const known = listed([ALWAYS, ...Object.keys(rules.schedules)]);
        report(
          [...at, "allow", group, place],
          `no schedule "${name}" is declared: add it to schedules, or name one of ${known}`,
        );
      }
    }
  }
  return problems;
}

/** Groups that no rule knows: such a membership opens nothing. For the answer to `identity/put`. */
export function undeclaredGroups(rules: AccessRules, groups: readonly string[]): readonly string[] {
  return groups.filter((group) => !rules.groups.includes(group));
}

export function doorsOf(rules: AccessRules, cameraId: CameraId): readonly DoorRule[] {
  return rules.doors.filter((door) => door.cameras.includes(cameraId));
}

export type DoorMode = "normal" | "lockdown";

export type Access =
  | { readonly kind: "allowed" }
  | { readonly kind: "denied"; readonly reason: DenyReason };

/**
 * Whether an identity may pass a door at an instant. Reasons in order of priority: lockdown, disabled,
 * validity, no rule, schedule.
 */
export function accessOf(
  rules: AccessRules,
  identity: Identity,
  doorId: DoorId,
  at: EpochMs,
  mode: DoorMode,
): Access {
  if (mode !== "normal") return denied("lockdown");
  if (identity.enabled !== true) return denied("identity_disabled");
  if (identity.validFrom !== undefined && !(at >= identity.validFrom))
    return denied("not_yet_valid");
  if (identity.validUntil !== undefined && !(at < identity.validUntil)) return denied("expired");
  const door = rules.doors.find((candidate) => candidate.id === doorId);
  if (door === undefined) return denied("no_rule");
  const schedules = identity.groups.flatMap((group) =>
    Object.hasOwn(door.allow, group) ? (door.allow[group] ?? []) : [],
  );
  if (schedules.length === 0) return denied("no_rule");
  return schedules.some((name) => isScheduleOpen(rules, name, at))
    ? { kind: "allowed" }
    : denied("outside_schedule");
}

function isScheduleOpen(rules: AccessRules, name: string, at: EpochMs): boolean {
  if (name === ALWAYS) return true;
  const schedule = Object.hasOwn(rules.schedules, name) ? rules.schedules[name] : undefined;
  return schedule !== undefined && isOpen(schedule, at);
}

function denied(reason: DenyReason): Access {
  return { kind: "denied", reason };
}

function listed(names: readonly string[]): string {
  return names.length === 0
    ? "(none)"
    : names.slice(0, 10).join(", ") + (names.length > 10 ? ", …" : "");
}
