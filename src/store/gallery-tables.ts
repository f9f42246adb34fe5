/** Identities, templates and source crops in their tables. Everything personal is sealed under the identity's key. */

import type { Identity, IdentityFields } from "../gallery/identity.ts";
import type { NewTemplate, StoredTemplate } from "../gallery/record.ts";
import type { EpochMs, IdentityId, SpaceId, TemplateId } from "../lib/brand.ts";
import type { Connection, Row } from "./connection.ts";
import type { Keyring } from "./keyring.ts";
import type { RandomBytes, SealingKey } from "./sealing.ts";
import {
  type PackedTemplate,
  packCrop,
  packProfile,
  type SourceCrop,
  unpackCrop,
  unpackProfile,
  unpackTemplates,
} from "./template-codec.ts";
import { type NamedVector, setPlace, TemplateSets } from "./template-sets.ts";

/** Identities read at once when a whole space is listed. */
const PAGE = 256;
const TEMPLATE_ID_BYTES = 12;

export interface GalleryTablesDeps {
  readonly connection: Connection;
  readonly keyring: Keyring;
  readonly randomBytes: RandomBytes;
}

export interface KeptCrop {
  readonly templateId: TemplateId;
  /** Of the enrolment. */
  readonly spaceId: SpaceId;
  readonly crop: SourceCrop;
}

export class GalleryTables {
  readonly #connection: Connection;
  readonly #keyring: Keyring;
  readonly #randomBytes: RandomBytes;
  readonly #sets: TemplateSets;

  /** @param templatesMax templates that one identity may have in one space */
  constructor(templatesMax: number, { connection, keyring, randomBytes }: GalleryTablesDeps) {
    this.#connection = connection;
    this.#sets = new TemplateSets(connection, templatesMax);
    this.#keyring = keyring;
    this.#randomBytes = randomBytes;
  }

  /** @throws SealBroken when the row was changed behind our back: somebody's rights must not be guessed */
  identity(id: IdentityId): Identity | undefined {
    const row = this.#connection.get("SELECT * FROM identity WHERE id = ?", id);
    return row === undefined ? undefined : this.#identityOf(row);
  }

  list(after: IdentityId | undefined, limit: number): Identity[] {
    const rows = this.#connection.all(
      "SELECT * FROM identity WHERE id > ? ORDER BY id LIMIT ?",
      after ?? "",
      limit,
    );
    return rows.map((row) => this.#identityOf(row));
  }

  put(fields: IdentityFields, at: EpochMs): Identity {
    const known = this.#connection.get(
      "SELECT slot, created_at FROM identity WHERE id = ?",
      fields.id,
    );
    const identity: Identity = {
      id: fields.id,
      displayName: fields.displayName,
      groups: fields.groups,
      ...(fields.validFrom === undefined ? {} : { validFrom: fields.validFrom }),
      ...(fields.validUntil === undefined ? {} : { validUntil: fields.validUntil }),
      enabled: fields.enabled,
      metadata: fields.metadata,
      createdAt: known === undefined ? at : (Number(known["created_at"]) as EpochMs),
      updatedAt: at,
    };
    if (known === undefined) {
      const { slot, key } = this.#keyring.create(fields.id);
      this.#write(identity, slot, key);
    } else {
      const slot = Number(known["slot"]);
      this.#write(identity, slot, this.#keyring.open(slot, fields.id));
    }
    return identity;
  }

  setEnabled(id: IdentityId, enabled: boolean, at: EpochMs): Identity | undefined {
    const known = this.identity(id);
    const owner = this.#keyOf(id);
    if (known === undefined || owner === undefined) return undefined;
    const identity: Identity = { ...known, enabled, updatedAt: at };
    this.#write(identity, owner.slot, owner.key);
    return identity;
  }

  addTemplates(
    id: IdentityId,
    added: readonly NewTemplate[],
    at: EpochMs,
  ): StoredTemplate[] | undefined {
    const owner = this.#keyOf(id);
    if (owner === undefined) return undefined;
    const named = added.map((template) => ({ ...template, id: this.#newTemplateId() }));
    const bySpace = Map.groupBy(
      named.flatMap(({ id: templateId, spaceId, vector, others = [] }) =>
        [{ spaceId, vector }, ...others].map((embedding) => ({ id: templateId, ...embedding })),
      ),
      ({ spaceId }) => spaceId,
    );
    const stored = [...bySpace].flatMap(([spaceId, vectors]) =>
      this.#append(id, owner.key, spaceId, vectors, at),
    );
    for (const { id: templateId, spaceId, sourceCrop } of named)
      if (sourceCrop !== undefined) this.#keepCrop(id, owner.key, templateId, spaceId, sourceCrop);
    return stored;
  }

  /** More vectors under ids that other spaces know. @returns none when nobody has that id */
  addVectors(
    id: IdentityId,
    spaceId: SpaceId,
    added: readonly NamedVector[],
    at: EpochMs,
  ): StoredTemplate[] {
    const owner = added.length === 0 ? undefined : this.#keyOf(id);
    return owner === undefined ? [] : this.#append(id, owner.key, spaceId, added, at);
  }

  /** @returns false when nobody has that id */
  erase(id: IdentityId): boolean {
    const slot = this.#connection.get("SELECT slot FROM identity WHERE id = ?", id)?.["slot"];
    if (slot === undefined) return false;
    this.#connection.run("DELETE FROM source_crop WHERE identity_id = ?", id);
    this.#connection.run("DELETE FROM template_set WHERE identity_id = ?", id);
    this.#connection.run("DELETE FROM identity WHERE id = ?", id);
    this.#keyring.destroy(Number(slot));
    return true;
  }

  /** @throws SealBroken */
  templateIds(id: IdentityId, spaceId: SpaceId): readonly TemplateId[] {
    const key = this.#keyOf(id)?.key;
    return key === undefined
      ? []
      : this.#sets.read(id, key, spaceId).map((template) => template.id);
  }

  /** In any space. */
  hasTemplates(id: IdentityId): boolean {
    const sql = "SELECT 1 FROM template_set WHERE identity_id = ? LIMIT 1";
    return this.#connection.get(sql, id) !== undefined;
  }

  templateCount(id: IdentityId, spaceId: SpaceId): number {
    const sql = "SELECT templates FROM template_set WHERE identity_id = ? AND space_id = ?";
    return Number(this.#connection.get(sql, id, spaceId)?.["templates"] ?? 0);
  }

  counts(): { readonly identities: number; readonly templates: number } {
    const sql =
      "SELECT (SELECT count(*) FROM identity) AS i, (SELECT coalesce(sum(templates), 0) FROM template_set) AS t";
    const row = this.#connection.get(sql);
    return { identities: Number(row?.["i"]), templates: Number(row?.["t"]) };
  }

  /**
   * All templates of a space, a page of identities at a time, so that writes may happen between pages.
   *
   * @param onBroken a set that does not open is passed over and named here: one damaged row must not close every door
   */
  *templates(
    spaceId: SpaceId,
    onBroken: (id: IdentityId, cause: unknown) => void,
  ): Generator<StoredTemplate> {
    const sql = `SELECT t.identity_id, t.sealed, k.slot, k.wrapped FROM template_set t
      JOIN identity i ON i.id = t.identity_id JOIN key_slot k ON k.slot = i.slot
      WHERE t.space_id = ? AND t.identity_id > ? ORDER BY t.identity_id LIMIT ${PAGE}`;
    let after = "";
    for (;;) {
      const rows = this.#connection.all(sql, spaceId, after);
      for (const row of rows) {
        const identityId = String(row["identity_id"]) as IdentityId;
        after = identityId;
        try {
          const key = this.#keyring.unwrap(
            row["wrapped"] as Uint8Array,
            Number(row["slot"]),
            identityId,
          );
          const packed = unpackTemplates(
            key.open(row["sealed"] as Uint8Array, setPlace(identityId, spaceId)),
          );
          yield* packed.map(({ id, vector }) => ({ id, identityId, spaceId, vector }));
        } catch (cause) {
          onBroken(identityId, cause);
        }
      }
      if (rows.length < PAGE) return;
    }
  }

  /** The sets of one identity, by space. @throws SealBroken */
  setsOf(id: IdentityId): {
    readonly spaceId: SpaceId;
    readonly counted: number;
    readonly templates: readonly PackedTemplate[];
  }[] {
    const key = this.#keyOf(id)?.key;
    if (key === undefined) return [];
    return this.#connection
      .all("SELECT * FROM template_set WHERE identity_id = ?", id)
      .map((row) => {
        const spaceId = String(row["space_id"]) as SpaceId;
        const templates = unpackTemplates(
          key.open(row["sealed"] as Uint8Array, setPlace(id, spaceId)),
        );
        return { spaceId, counted: Number(row["templates"]), templates };
      });
  }

  /** Ids of the templates that the kept source crops were kept with. */
  cropIds(id: IdentityId): readonly TemplateId[] {
    return this.#connection
      .all("SELECT template_id FROM source_crop WHERE identity_id = ? ORDER BY template_id", id)
      .map((row) => String(row["template_id"]) as TemplateId);
  }

  /** A kept source crop: what a new embedder is fed with. @throws SealBroken */
  cropOf(id: IdentityId, templateId: TemplateId): KeptCrop | undefined {
    const key = this.#keyOf(id)?.key;
    const sql = "SELECT * FROM source_crop WHERE template_id = ? AND identity_id = ?";
    const row = this.#connection.get(sql, templateId, id);
    if (key === undefined || row === undefined) return undefined;
    const spaceId = String(row["space_id"]) as SpaceId;
    const sealed = row["sealed"] as Uint8Array;
    return {
      templateId,
      spaceId,
      crop: unpackCrop(key.open(sealed, cropPlace(templateId, id, spaceId))),
    };
  }

  /** All of one identity. @throws SealBroken */
  cropsOf(id: IdentityId): KeptCrop[] {
    return this.cropIds(id).flatMap((templateId) => this.cropOf(id, templateId) ?? []);
  }

  #append(
    id: IdentityId,
    key: SealingKey,
    spaceId: SpaceId,
    added: readonly NamedVector[],
    at: EpochMs,
  ): StoredTemplate[] {
    this.#sets.append(id, key, spaceId, added, at);
    return added.map((template) => ({
      id: template.id,
      identityId: id,
      spaceId,
      vector: Float32Array.from(template.vector),
    }));
  }

  #keepCrop(
    id: IdentityId,
    key: SealingKey,
    templateId: TemplateId,
    spaceId: SpaceId,
    crop: SourceCrop,
  ): void {
    this.#connection.run(
      "INSERT INTO source_crop (template_id, identity_id, space_id, sealed) VALUES (?, ?, ?, ?)",
      templateId,
      id,
      spaceId,
      key.seal(packCrop(crop), cropPlace(templateId, id, spaceId)),
    );
  }

  #newTemplateId(): TemplateId {
    return Buffer.from(this.#randomBytes(TEMPLATE_ID_BYTES)).toString("hex") as TemplateId;
  }

  #keyOf(id: IdentityId): { readonly slot: number; readonly key: SealingKey } | undefined {
    const slot = this.#connection.get("SELECT slot FROM identity WHERE id = ?", id)?.["slot"];
    return slot === undefined
      ? undefined
      : { slot: Number(slot), key: this.#keyring.open(Number(slot), id) };
  }

  #identityOf(row: Row): Identity {
    const id = String(row["id"]) as IdentityId;
    const slot = Number(row["slot"]);
    const plain = {
      id,
      enabled: row["enabled"] === 1,
      groups: JSON.parse(String(row["groups"])) as string[],
      ...(row["valid_from"] === null ? {} : { validFrom: Number(row["valid_from"]) as EpochMs }),
      ...(row["valid_until"] === null ? {} : { validUntil: Number(row["valid_until"]) as EpochMs }),
      createdAt: Number(row["created_at"]) as EpochMs,
      updatedAt: Number(row["updated_at"]) as EpochMs,
    };
    const key = this.#keyring.open(slot, id);
    return {
      ...plain,
      ...unpackProfile(key.open(row["profile"] as Uint8Array, profilePlace(plain, slot))),
    };
  }

  #write(identity: Identity, slot: number, key: SealingKey): void {
    const profile = key.seal(packProfile(identity), profilePlace(identity, slot));
    this.#connection.run(
      `INSERT INTO identity (id, slot, enabled, groups, valid_from, valid_until, created_at, updated_at, profile)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET enabled = excluded.enabled, groups = excluded.groups, valid_from = excluded.valid_from,
         valid_until = excluded.valid_until, updated_at = excluded.updated_at, profile = excluded.profile`,
      identity.id,
      slot,
      identity.enabled ? 1 : 0,
      JSON.stringify(identity.groups),
      identity.validFrom ?? null,
      identity.validUntil ?? null,
      identity.createdAt,
      identity.updatedAt,
      profile,
    );
  }
}

function cropPlace(templateId: TemplateId, id: IdentityId, spaceId: SpaceId): string {
  return `source_crop|${templateId}|${id}|${spaceId}|1`;
}

/** Binds the clear columns too: a right that was edited in the file does not open. */
function profilePlace(identity: Omit<Identity, "displayName" | "metadata">, slot: number): string {
  const { enabled, groups, validFrom, validUntil, createdAt, updatedAt } = identity;
  return `identity|${identity.id}|${JSON.stringify([slot, enabled, groups, validFrom, validUntil, createdAt, updatedAt])}|1`;
}
