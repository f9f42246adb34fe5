/**
 * Templates of another space, made from the kept source crops. A template that stands for a crop has the
 * id of the crop's first template in every space: so what is there already is known, and nothing is made
 * twice, however often it begins again.
 */
import type { StoredTemplate } from "../gallery/record.ts";
import type { EpochMs, IdentityId, SpaceId, TemplateId } from "../lib/brand.ts";
import { codeOf } from "../lib/fault.ts";
import type { Connection } from "./connection.ts";
import type { GalleryTables } from "./gallery-tables.ts";
import type { SourceCrop } from "./template-codec.ts";
import type { NamedVector } from "./template-sets.ts";

export type Pending =
  /** Crops without a template in the space; empty when all is there. */
  | {
      readonly kind: "crops";
      readonly identityId: IdentityId;
      readonly crops: readonly { readonly templateId: TemplateId; readonly crop: SourceCrop }[];
    }
  /** It has templates, none in the space, and no crop to make one from. */
  | { readonly kind: "without-crops"; readonly identityId: IdentityId }
  | { readonly kind: "broken"; readonly identityId: IdentityId; readonly code: string };

export interface Reembedded {
  readonly identityId: IdentityId;
  readonly templates: readonly NamedVector[];
}

export interface Behind {
  readonly ids: readonly IdentityId[];
  /** Where the next page begins; undefined at the end. */
  readonly last: IdentityId | undefined;
}

const cursorName = (spaceId: SpaceId): string => `reembedded.${spaceId}`;

export class Reembedding {
  readonly #connection: Connection;
  readonly #gallery: GalleryTables;

  constructor(connection: Connection, gallery: GalleryTables) {
    this.#connection = connection;
    this.#gallery = gallery;
  }

  /** The last identity of {@link commit}, in order of id. */
  cursor(spaceId: SpaceId): IdentityId | undefined {
    const row = this.#connection.get("SELECT value FROM meta WHERE name = ?", cursorName(spaceId));
    return row === undefined ? undefined : (String(row["value"]) as IdentityId);
  }

  /** How many identities there are, and how many come up to `cursor`. */
  counts(cursor: IdentityId | undefined): { readonly done: number; readonly total: number } {
    const sql = "SELECT count(*) AS total, count(*) FILTER (WHERE id <= ?) AS done FROM identity";
    const row = this.#connection.get(sql, cursor ?? "");
    return { done: Number(row?.["done"]), total: Number(row?.["total"]) };
  }

  /** The next identities in order of id. @param after exclusive */
  page(spaceId: SpaceId, after: IdentityId | undefined, limit: number): readonly Pending[] {
    const sql = "SELECT id FROM identity WHERE id > ? ORDER BY id LIMIT ?";
    return this.#connection
      .all(sql, after ?? "", limit)
      .map((row) => this.pending(spaceId, String(row["id"]) as IdentityId));
  }

  /** Of the next identities in order of id, those with a crop that has no template in the space. */
  behind(spaceId: SpaceId, after: IdentityId | undefined, limit: number): Behind {
    const sql = "SELECT id FROM identity WHERE id > ? ORDER BY id LIMIT ?";
    const ids = this.#connection
      .all(sql, after ?? "", limit)
      .map((row) => String(row["id"]) as IdentityId);
    return { last: ids.at(-1), ids: ids.filter((id) => this.#isBehind(spaceId, id)) };
  }

  pending(spaceId: SpaceId, identityId: IdentityId): Pending {
    try {
      const held = new Set(this.#gallery.templateIds(identityId, spaceId));
      const crops = this.#gallery.cropIds(identityId).filter((id) => !held.has(id));
      if (crops.length === 0 && held.size === 0 && this.#gallery.hasTemplates(identityId))
        return { kind: "without-crops", identityId };
      return {
        kind: "crops",
        identityId,
        crops: crops.flatMap((id) => this.#gallery.cropOf(identityId, id) ?? []),
      };
    } catch (cause) {
      // A damaged row must not keep everybody else on the old pack.
      return { kind: "broken", identityId, code: codeOf(cause) };
    }
  }

  /**
   * Rows and cursor. Inside a transaction. Who was erased meanwhile, and crops that went with them, are
   * passed over.
   *
   * @param cursor absent when identities are caught up out of order
   * @returns what was added
   */
  commit(
    spaceId: SpaceId,
    entries: readonly Reembedded[],
    cursor: IdentityId | undefined,
    at: EpochMs,
  ): readonly StoredTemplate[] {
    const added = entries.flatMap(({ identityId, templates }) => {
      const crops = new Set(this.#gallery.cropIds(identityId));
      const held = new Set(this.#gallery.templateIds(identityId, spaceId));
      const fresh = templates.filter(({ id }) => crops.has(id) && !held.has(id));
      return this.#gallery.addVectors(identityId, spaceId, fresh, at);
    });
    if (cursor !== undefined) {
      this.#connection.run(
        `INSERT INTO meta (name, value) VALUES (?, ?)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE excluded.value > value`,
        cursorName(spaceId),
        cursor,
      );
    }
    return added;
  }

  /** Who has more crops than templates in the space: without opening anything, for every start. */
  short(spaceId: SpaceId): readonly IdentityId[] {
    const sql = `SELECT c.identity_id FROM source_crop AS c
      LEFT JOIN template_set AS t ON t.identity_id = c.identity_id AND t.space_id = ?
      GROUP BY c.identity_id HAVING count(*) > coalesce(max(t.templates), 0) ORDER BY c.identity_id`;
    return this.#connection
      .all(sql, spaceId)
      .map((row) => String(row["identity_id"]) as IdentityId);
  }

  #isBehind(spaceId: SpaceId, id: IdentityId): boolean {
    const crops = this.#gallery.cropIds(id);
    if (crops.length === 0) return false;
    try {
      const held = new Set(this.#gallery.templateIds(id, spaceId));
      return crops.some((crop) => !held.has(crop));
    } catch {
      return true;
    }
  }

  /** Who has templates in `from` and none in `to`, in order of id. */
  missing(from: SpaceId, to: SpaceId): readonly IdentityId[] {
    const sql = `SELECT identity_id FROM template_set AS t WHERE space_id = ? AND NOT EXISTS
      (SELECT 1 FROM template_set WHERE identity_id = t.identity_id AND space_id = ?) ORDER BY identity_id`;
    return this.#connection
      .all(sql, from, to)
      .map((row) => String(row["identity_id"]) as IdentityId);
  }

  /** Removes the templates of all other spaces. Inside a transaction. @returns whether there were any */
  retain(spaceIds: readonly SpaceId[]): boolean {
    const others = this.#connection
      .all("SELECT DISTINCT space_id FROM template_set")
      .map((row) => String(row["space_id"]) as SpaceId)
      .filter((spaceId) => !spaceIds.includes(spaceId));
    for (const spaceId of others)
      this.#connection.run("DELETE FROM template_set WHERE space_id = ?", spaceId);
    const kept = spaceIds.map(cursorName);
    const cursors = this.#connection.all("SELECT name FROM meta WHERE name LIKE 'reembedded.%'");
    for (const name of cursors.map((row) => String(row["name"])))
      if (!kept.includes(name)) this.#connection.run("DELETE FROM meta WHERE name = ?", name);
    return others.length > 0;
  }
}
