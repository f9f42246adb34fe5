/** The store of record as the gallery and the commands see it. `store/` implements it on SQLite. */
import type { Embedding } from "../embedding/embedding.ts";
import type { EpochMs, IdentityId, SpaceId, TemplateId } from "../lib/brand.ts";
import type { Identity, IdentityFields } from "./identity.ts";

export interface StoredTemplate {
  readonly id: TemplateId;
  readonly identityId: IdentityId;
  readonly spaceId: SpaceId;
  /** Unit vector, float32. */
  readonly vector: Float32Array;
}

export interface NewTemplate {
  readonly spaceId: SpaceId;
  readonly vector: Float32Array;
  /** The same face in other spaces, stored under the same id. */
  readonly others?: readonly Embedding[];
  /** PNG and its landmarks in pixels of that PNG; absent when the site keeps no crops. */
  readonly sourceCrop?: {
    readonly png: Uint8Array;
    readonly landmarks: readonly { readonly x: number; readonly y: number }[];
  };
}

/** What changed, for whoever keeps a copy in memory. Delivered after the commit, before the answer. */
export type GalleryChange =
  | { readonly kind: "identity-changed"; readonly identity: Identity }
  | { readonly kind: "templates-added"; readonly templates: readonly StoredTemplate[] }
  | { readonly kind: "identity-erased"; readonly identityId: IdentityId };

/** The writes of one transaction. Synchronous: nothing else happens between its steps. */
export interface RecordTransaction {
  readonly identity: (id: IdentityId) => Identity | undefined;
  readonly putIdentity: (fields: IdentityFields, at: EpochMs) => Identity;
  readonly setEnabled: (id: IdentityId, enabled: boolean, at: EpochMs) => Identity | undefined;
  /** @returns undefined when nobody has that id; throws a Fault `template_limit` beyond the per-identity cap */
  readonly addTemplates: (
    id: IdentityId,
    templates: readonly NewTemplate[],
    at: EpochMs,
  ) => readonly StoredTemplate[] | undefined;
  /** Destroys the identity's key, templates and crops. @returns false when nobody has that id */
  readonly eraseIdentity: (id: IdentityId, at: EpochMs) => boolean;
  /** Appends to the reliable feed. `body` becomes JSON. @returns its seq */
  readonly appendEvent: (
    type: string,
    body: Readonly<Record<string, unknown>>,
    at: EpochMs,
  ) => number;
}

/** Reads outside transactions. */
export interface RecordReader {
  readonly identity: (id: IdentityId) => Identity | undefined;
  /** Ordered by id; `after` is exclusive. */
  readonly listIdentities: (after: IdentityId | undefined, limit: number) => readonly Identity[];
  readonly templateCount: (id: IdentityId, spaceId: SpaceId) => number;
  readonly templates: (spaceId: SpaceId) => Iterable<StoredTemplate>;
  readonly counts: () => { readonly identities: number; readonly templates: number };
}
