/** Identities, templates and source crops in their tables. Everything personal is sealed under the identity's key. */

import type { Identity, IdentityFields } from "../gallery/identity.ts";
import type { NewTemplate, StoredTemplate } from "../gallery/record.ts";
import type { EpochMs, IdentityId, SpaceId, TemplateId } from "../lib/brand.ts";
import { Fault } from "../lib/fault.ts";
import { isUnit } from "../lib/vector.ts";
import type { Connection, Row } from "./connection.ts";
import type { Keyring } from "./keyring.ts";
import type { RandomBytes, SealingKey } from "./sealing.ts";
import {
  type PackedTemplate,
  packCrop,
  packProfile,
  packTemplates,
  type SourceCrop,
  unpackCrop,
  unpackProfile,
  unpackTemplates,
} from "./template-codec.ts";

/** Identities read at once when a whole space is listed. */
const PAGE = 256;
const TEMPLATE_ID_BYTES = 12;

export interface GalleryTablesDeps {
  readonly connection: Connection;
  readonly keyring: Keyring;
  readonly randomBytes: RandomBytes;
}

export class GalleryTables {
  readonly #connection: Connection;
  readonly #keyring: Keyring;
  readonly #randomBytes: RandomBytes;
  readonly #templatesMax: number;

  /** @param templatesMax templates that one identity may have in one space */
  constructor(templatesMax: number, { connection, keyring, randomBytes }: GalleryTablesDeps) {
    this.#templatesMax = templatesMax;
    this.#connection = connection;
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
    const stored: StoredTemplate[] = [];
    for (const spaceId of new Set(added.map((template) => template.spaceId))) {
      const ofSpace = added.filter((template) => template.spaceId === spaceId);
      stored.push(...this.#addToSpace(id, owner.key, spaceId, ofSpace, at));
    }
    return stored;
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

  /** The kept source crops of one identity: what a new embedder is fed with. @throws SealBroken */
  cropsOf(
    id: IdentityId,
  ): { readonly templateId: TemplateId; readonly spaceId: SpaceId; readonly crop: SourceCrop }[] {
    const key = this.#keyOf(id)?.key;
    if (key === undefined) return [];
    return this.#connection
      .all("SELECT * FROM source_crop WHERE identity_id = ?", id)
      .map((row) => {
        const templateId = String(row["template_id"]) as TemplateId;
        const spaceId = String(row["space_id"]) as SpaceId;
        return {
          templateId,
          spaceId,
          crop: unpackCrop(
            key.open(row["sealed"] as Uint8Array, cropPlace(templateId, id, spaceId)),
          ),
        };
      });
  }

  #addToSpace(
    id: IdentityId,
    key: SealingKey,
    spaceId: SpaceId,
    added: readonly NewTemplate[],
    at: EpochMs,
  ): StoredTemplate[] {
    const row = this.#connection.get(
      "SELECT sealed FROM template_set WHERE identity_id = ? AND space_id = ?",
      id,
      spaceId,
    );
    const kept =
      row === undefined
        ? []
        : unpackTemplates(key.open(row["sealed"] as Uint8Array, setPlace(id, spaceId)));
    if (kept.length + added.length > this.#templatesMax) {
      throw new Fault(
        "template_limit",
        `${id} would have ${kept.length + added.length} templates, at most ${this.#templatesMax} are kept: erase and enrol again`,
      );
    }
    const dimension = (kept[0] ?? added[0])?.vector.length ?? 0;
    const fresh = added.map(({ vector }) => {
      if (!isUnit(vector, dimension)) {
        throw new Fault(
          "invalid_template",
          `a template of ${id} is no finite unit vector of ${dimension} values: nothing was stored`,
        );
      }
      return { id: this.#newTemplateId(), vector: Float32Array.from(vector), createdAt: at };
    });
    const sealed = key.seal(packTemplates([...kept, ...fresh], dimension), setPlace(id, spaceId));
    this.#connection.run(
      `INSERT INTO template_set (identity_id, space_id, templates, sealed) VALUES (?, ?, ?, ?)
       ON CONFLICT (identity_id, space_id) DO UPDATE SET templates = excluded.templates, sealed = excluded.sealed`,
      id,
      spaceId,
      kept.length + fresh.length,
      sealed,
    );
    fresh.forEach((template, index) => {
      const crop = added[index]?.sourceCrop;
      if (crop === undefined) return;
      const sql =
        "INSERT INTO source_crop (template_id, identity_id, space_id, sealed) VALUES (?, ?, ?, ?)";
      this.#connection.run(
        sql,
        template.id,
        id,
        spaceId,
        key.seal(packCrop(crop), cropPlace(template.id, id, spaceId)),
      );
    });
    return fresh.map((template) => ({
      id: template.id,
      identityId: id,
      spaceId,
      vector: template.vector,
    }));
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

function setPlace(id: IdentityId, spaceId: SpaceId): string {
  return `template_set|${id}|${spaceId}|1`;
}

function cropPlace(templateId: TemplateId, id: IdentityId, spaceId: SpaceId): string {
  return `source_crop|${templateId}|${id}|${spaceId}|1`;
}

/** Binds the clear columns too: a right that was edited in the file does not open. */
function profilePlace(identity: Omit<Identity, "displayName" | "metadata">, slot: number): string {
  const { enabled, groups, validFrom, validUntil, createdAt, updatedAt } = identity;
  return `identity|${identity.id}|${JSON.stringify([slot, enabled, groups, validFrom, validUntil, createdAt, updatedAt])}|1`;
}
