/** TUF metadata: made, signed, counted. On `@tufjs/models`, from JSON, since that is what is signed. */
import { Metadata, MetadataKind, Signature } from "@tufjs/models";
import { Fault } from "../../src/lib/fault.ts";
import { sha256Of } from "./files.ts";
import { type Sign, tufKeyOf } from "./keys.ts";

export const ROLES = ["root", "targets", "snapshot", "timestamp"] as const;
export type RoleName = (typeof ROLES)[number];
export type AnyMetadata = ReturnType<typeof parseMetadata>;
export type RootMetadata = ReturnType<typeof newRoot>;
export type TargetsMetadata = ReturnType<typeof newTargets>;

const SPEC_VERSION = "1.0.31";

type Json = Parameters<typeof Metadata.fromJSON>[1];
type JsonValue = Json[string];

/** Keys of a role, by their public half in base64. */
export interface RoleKeys {
  readonly threshold: number;
  readonly publicKeys: readonly string[];
}

export interface Life {
  readonly version: number;
  readonly expiresMs: number;
}

/** Seconds precision, as TUF dates are (spec §4.2.1). */
export function tufDate(ms: number): string {
  return new Date(Math.floor(ms / 1000) * 1000).toISOString().replace(".000Z", "Z");
}

const common = (kind: RoleName, { version, expiresMs }: Life) => ({
  _type: kind,
  spec_version: SPEC_VERSION,
  version,
  expires: tufDate(expiresMs),
});

export function newRoot(life: Life, roles: Readonly<Record<RoleName, RoleKeys>>) {
  const keys: Record<string, JsonValue> = {};
  const assigned: Record<string, JsonValue> = {};
  for (const name of ROLES) {
    const ids = roles[name].publicKeys.map((publicKey) => {
      const { keyid, key } = tufKeyOf(publicKey);
      keys[keyid] = key;
      return keyid;
    });
    if (new Set(ids).size < roles[name].threshold)
      throw new Fault(
        "threshold_unreachable",
        `${name} needs ${roles[name].threshold} signatures and has ${new Set(ids).size} keys: give it more keys, or a lower threshold`,
      );
    assigned[name] = { keyids: ids, threshold: roles[name].threshold };
  }
  const signed = { ...common("root", life), consistent_snapshot: true, keys, roles: assigned };
  return Metadata.fromJSON(MetadataKind.Root, { signed, signatures: [] });
}

/** @param targets JSON of TargetFile by path */
export function newTargets(life: Life, targets: Readonly<Record<string, JsonValue>>) {
  const signed = { ...common("targets", life), targets: { ...targets } };
  return Metadata.fromJSON(MetadataKind.Targets, { signed, signatures: [] });
}

/** With length and hash of the targets file: a mixed-up one is noticed before it is parsed. */
export function newSnapshot(life: Life, targetsVersion: number, targetsFile: Uint8Array) {
  const meta = { "targets.json": fileMeta(targetsVersion, targetsFile) };
  const signed = { ...common("snapshot", life), meta };
  return Metadata.fromJSON(MetadataKind.Snapshot, { signed, signatures: [] });
}

/** `issued` is ours: a device whose clock was set back learns from it that it is later. */
export function newTimestamp(
  life: Life,
  issuedMs: number,
  snapshotVersion: number,
  snapshotFile: Uint8Array,
) {
  const meta = { "snapshot.json": fileMeta(snapshotVersion, snapshotFile) };
  const signed = { ...common("timestamp", life), meta, issued: tufDate(issuedMs) };
  return Metadata.fromJSON(MetadataKind.Timestamp, { signed, signatures: [] });
}

function fileMeta(version: number, file: Uint8Array) {
  return { version, length: file.byteLength, hashes: { sha256: sha256Of(file) } };
}

export function parseMetadata(kind: RoleName, bytes: Uint8Array) {
  const json = JSON.parse(Buffer.from(bytes).toString("utf8")) as Json;
  if (kind === "root") return Metadata.fromJSON(MetadataKind.Root, json);
  if (kind === "targets") return Metadata.fromJSON(MetadataKind.Targets, json);
  if (kind === "snapshot") return Metadata.fromJSON(MetadataKind.Snapshot, json);
  return Metadata.fromJSON(MetadataKind.Timestamp, json);
}

export function parseRoot(bytes: Uint8Array): RootMetadata {
  return parseMetadata("root", bytes) as RootMetadata;
}

export function parseTargets(bytes: Uint8Array): TargetsMetadata {
  return parseMetadata("targets", bytes) as TargetsMetadata;
}

export function bytesOf(metadata: AnyMetadata): Buffer {
  return Buffer.from(`${JSON.stringify(metadata.toJSON(), null, 1)}\n`);
}

export function addSignature(metadata: AnyMetadata, publicKey: string, sign: Sign): void {
  const { keyid } = tufKeyOf(publicKey);
  metadata.sign((bytes) => new Signature({ keyID: keyid, sig: sign(bytes).toString("hex") }), true);
}

export interface Count {
  readonly have: number;
  readonly threshold: number;
  /** Key ids that could still sign. */
  readonly missing: readonly string[];
}

/** How many of a role's keys have signed, as a client counts. */
export function countSignatures(root: RootMetadata, role: RoleName, metadata: AnyMetadata): Count {
  const { keyIDs = [], threshold = 1 } = root.signed.roles[role] ?? {};
  const signed = keyIDs.filter((id) => {
    try {
      root.signed.keys[id]?.verifySignature(metadata);
      return root.signed.keys[id] !== undefined;
    } catch {
      return false;
    }
  });
  const missing = keyIDs.filter((id) => !signed.includes(id));
  return { have: new Set(signed).size, threshold, missing };
}

/** Public halves of a role's keys, base64. */
export function publicKeysOf(root: RootMetadata, role: RoleName): readonly string[] {
  return (root.signed.roles[role]?.keyIDs ?? []).map((id) =>
    Buffer.from(root.signed.keys[id]?.keyVal["public"] ?? "", "hex").toString("base64"),
  );
}

export function roleKeysOf(root: RootMetadata): Record<RoleName, RoleKeys> {
  const of = (name: RoleName): RoleKeys => ({
    threshold: root.signed.roles[name]?.threshold ?? 1,
    publicKeys: publicKeysOf(root, name),
  });
  return {
    root: of("root"),
    targets: of("targets"),
    snapshot: of("snapshot"),
    timestamp: of("timestamp"),
  };
}
