/** The templates of one identity in one space: one sealed row. Everything inside the caller's transaction. */
import type { EpochMs, IdentityId, SpaceId, TemplateId } from "../lib/brand.ts";
import { Fault } from "../lib/fault.ts";
import { isUnit } from "../lib/vector.ts";
import type { Connection } from "./connection.ts";
import type { SealingKey } from "./sealing.ts";
import { type PackedTemplate, packTemplates, unpackTemplates } from "./template-codec.ts";

export interface NamedVector {
  readonly id: TemplateId;
  readonly vector: Float32Array;
}

/** Where a set's ciphertext belongs. */
export function setPlace(id: IdentityId, spaceId: SpaceId): string {
  return `template_set|${id}|${spaceId}|1`;
}

export class TemplateSets {
  readonly #connection: Connection;
  readonly #templatesMax: number;

  constructor(connection: Connection, templatesMax: number) {
    this.#connection = connection;
    this.#templatesMax = templatesMax;
  }

  /** @throws SealBroken */
  read(id: IdentityId, key: SealingKey, spaceId: SpaceId): PackedTemplate[] {
    const row = this.#connection.get(
      "SELECT sealed FROM template_set WHERE identity_id = ? AND space_id = ?",
      id,
      spaceId,
    );
    if (row === undefined) return [];
    return unpackTemplates(key.open(row["sealed"] as Uint8Array, setPlace(id, spaceId)));
  }

  /** @throws Fault `template_limit`, `invalid_template`; SealBroken */
  append(
    id: IdentityId,
    key: SealingKey,
    spaceId: SpaceId,
    added: readonly NamedVector[],
    at: EpochMs,
  ): void {
    const kept = this.read(id, key, spaceId);
    const count = kept.length + added.length;
    if (count > this.#templatesMax) {
      throw new Fault(
        "template_limit",
        `${id} would have ${count} templates, at most ${this.#templatesMax} are kept: erase and enrol again`,
      );
    }
    const dimension = (kept[0] ?? added[0])?.vector.length ?? 0;
    const fresh = added.map(({ id: templateId, vector }) => {
      if (!isUnit(vector, dimension)) {
        throw new Fault(
          "invalid_template",
          `a template of ${id} is no finite unit vector of ${dimension} values: nothing was stored`,
        );
      }
      return { id: templateId, vector: Float32Array.from(vector), createdAt: at };
    });
    const sealed = key.seal(packTemplates([...kept, ...fresh], dimension), setPlace(id, spaceId));
    this.#connection.run(
      `INSERT INTO template_set (identity_id, space_id, templates, sealed) VALUES (?, ?, ?, ?)
       ON CONFLICT (identity_id, space_id) DO UPDATE SET templates = excluded.templates, sealed = excluded.sealed`,
      id,
      spaceId,
      count,
      sealed,
    );
  }
}
