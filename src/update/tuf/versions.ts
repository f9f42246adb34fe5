/** Versions of verified metadata, and the floors that they may not go below. */
import { createHash } from "node:crypto";
import { Metadata, MetadataKind } from "@tufjs/models";
import { type EpochMs, epochMs } from "../../lib/brand.ts";
import { Fault } from "../../lib/fault.ts";
import type { Floors } from "./source.ts";
import type { MetadataFiles } from "./trusted.ts";

export interface Verified {
  readonly floors: Floors;
  readonly issuedAt: EpochMs | undefined;
}

/**
 * Which versions these files prove. A file counts when the root's keys have signed it: one that is torn
 * or changed on our disk says nothing.
 *
 * @param files `root` is trusted
 * @throws when `root` is no root metadata
 */
export function verifiedOf(anchor: string, files: MetadataFiles): Verified {
  const root = Metadata.fromJSON(MetadataKind.Root, jsonOf(files.root));
  const signed = <Kind extends "timestamp" | "snapshot" | "targets">(kind: Kind) => {
    const bytes = files[kind];
    if (bytes === undefined) return undefined;
    try {
      const metadata = parsedAs(kind, bytes);
      root.verifyDelegate(kind, metadata);
      return metadata.signed;
    } catch {
      return undefined;
    }
  };
  const { roles, version } = root.signed;
  const online = ["timestamp", "snapshot"].map((name) => roles[name]?.toJSON());
  const [timestamp, snapshot, targets] = [
    signed("timestamp"),
    signed("snapshot"),
    signed("targets"),
  ];
  const expires = [root.signed, timestamp, snapshot, targets].map((each) => each?.expires);
  return {
    floors: {
      anchor,
      root: version,
      onlineKeys: createHash("sha256").update(JSON.stringify(online)).digest("hex"),
      timestamp: timestamp?.version ?? 0,
      snapshot: snapshot?.version ?? 0,
      targets: targets?.version ?? 0,
    },
    issuedAt: issuedAtOf(timestamp?.unrecognizedFields["issued"], expires),
  };
}

function parsedAs(kind: "timestamp" | "snapshot" | "targets", bytes: Buffer) {
  const json = jsonOf(bytes);
  if (kind === "timestamp") return Metadata.fromJSON(MetadataKind.Timestamp, json);
  if (kind === "snapshot") return Metadata.fromJSON(MetadataKind.Snapshot, json);
  return Metadata.fromJSON(MetadataKind.Targets, json);
}

type Json = Parameters<typeof Metadata.fromJSON>[1];

function jsonOf(bytes: Buffer | undefined): Json {
  return JSON.parse(bytes?.toString("utf8") ?? "null") as Json;
}

/**
 * The `issued` of our publisher's timestamps. One that lies after the date of any of the metadata is not
 * believed: with the online key alone a thief would else put devices past every date for good.
 */
function issuedAtOf(
  issued: unknown,
  expires: readonly (string | undefined)[],
): EpochMs | undefined {
  const at = typeof issued === "string" ? Date.parse(issued) : Number.NaN;
  const isPossible = expires.every((each) => each !== undefined && at < Date.parse(each));
  return isPossible ? epochMs(at) : undefined;
}

const BELOW_ROOT = ["timestamp", "snapshot", "targets"] as const;

/**
 * The floors after `seen` was verified.
 *
 * With a newer root that changes the keys of timestamp or snapshot the numbers below it start anew: so a
 * publisher gets out of numbers that a thief of these keys has driven up (TUF 5.3.11).
 *
 * @param isWhole a refresh that succeeded: a role that is missing is then a rollback too
 * @throws Fault `tuf_rollback`
 */
export function raised(floors: Floors | undefined, seen: Floors, isWhole: boolean): Floors {
  if (floors === undefined || floors.anchor !== seen.anchor) return seen;
  if (seen.root < floors.root) throw rolledBack("root", seen.root, floors.root);
  const isRekeyed = seen.onlineKeys !== floors.onlineKeys;
  if (isRekeyed && seen.root > floors.root) return seen;
  if (isRekeyed) throw rolledBack("root", seen.root, floors.root);
  const next = { ...seen };
  for (const role of BELOW_ROOT) {
    const isMissing = seen[role] === 0 && !isWhole;
    if (seen[role] < floors[role] && !isMissing) throw rolledBack(role, seen[role], floors[role]);
    next[role] = Math.max(seen[role], floors[role]);
  }
  return next;
}

function rolledBack(role: string, version: number, floor: number): Fault {
  return new Fault(
    "tuf_rollback",
    `the repository's ${role} has version ${version}, ${floor} was seen here: it is an old copy, or somebody replays one; publish again`,
    { retry: "later" },
  );
}
