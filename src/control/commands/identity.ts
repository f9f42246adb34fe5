/** Who is enrolled: `identity/*`. Answers that are stored hold ids only, so an erased name is nowhere. */
import { z } from "zod";
import { undeclaredGroups } from "../../decision/rules.ts";
import { type Identity, IdentityFields } from "../../gallery/identity.ts";
import type { IdentityId } from "../../lib/brand.ts";
import { IdentityIdSchema } from "../../lib/id.ts";
import { rfc3339 } from "../../system/clock.ts";
import { answers, type CommandContext, changes, done, reads, refusal } from "../command.ts";

const PAGE_MAX = 200;

const named = z.strictObject({ id: IdentityIdSchema.meta({ description: "id of the identity" }) });

export const unknownIdentity = (id: IdentityId) =>
  refusal(
    "unknown_identity",
    `nobody is enrolled as "${id}": identity/list names everybody, identity/put adds`,
  );

export const identityPut = changes(
  "Adds a person, or replaces what is known of one (also enables)",
  IdentityFields,
  async (fields, context) => {
    if (
      fields.validFrom !== undefined &&
      fields.validUntil !== undefined &&
      fields.validUntil <= fields.validFrom
    ) {
      return answers(refusal("invalid_arguments", "args.validUntil: must be later than validFrom"));
    }
    const undeclared = undeclaredGroups(context.rules(), fields.groups);
    return {
      commit: (tx) => {
        const at = context.clock.epochMs();
        const created = tx.identity(fields.id) === undefined;
        const identity = tx.putIdentity(fields, at);
        tx.appendEvent(
          "identity_put",
          { ...actorOf(context), identity: identity.id, created, enabled: identity.enabled },
          at,
        );
        // A group that no rule names opens nothing: said here, where a typing error can still be mended.
        return done({
          id: identity.id,
          created,
          enabled: identity.enabled,
          ...(undeclared.length > 0 ? { undeclaredGroups: undeclared } : {}),
        });
      },
    };
  },
);

export const identityGet = reads("Shows one person", named, async ({ id }, context) => {
  const identity = context.reader.identity(id);
  if (identity === undefined) return unknownIdentity(id);
  const spaceId = context.gallery()?.spaceId;
  return done({
    ...shown(identity),
    ...(spaceId === undefined
      ? {}
      : { spaceId, templates: context.reader.templateCount(id, spaceId) }),
  });
});

const page = z.strictObject({
  cursor: IdentityIdSchema.optional().meta({ description: "`next` of the page before" }),
  limit: z
    .int()
    .min(1)
    .max(PAGE_MAX)
    .default(50)
    .meta({ description: `entries of one page, at most ${PAGE_MAX}` }),
});

export const identityList = reads(
  "Lists who is enrolled, ordered by id, page by page",
  page,
  async ({ cursor, limit }, context) => {
    const found = context.reader.listIdentities(cursor, limit + 1);
    const shownNow = found.slice(0, limit);
    const last = shownNow.at(-1);
    return done({
      identities: shownNow.map(shown),
      ...(found.length > limit && last !== undefined ? { next: last.id } : {}),
    });
  },
);

export const identityDisable = changes(
  "Stops granting a person; identity/put enables again",
  named,
  async ({ id }, context) => ({
    commit: (tx) => {
      const at = context.clock.epochMs();
      if (tx.setEnabled(id, false, at) === undefined) return unknownIdentity(id);
      tx.appendEvent("identity_disabled", { ...actorOf(context), identity: id }, at);
      return done({ id, enabled: false });
    },
  }),
);

export const identityErase = changes(
  "Erases a person: key, templates and crops. Cannot be undone",
  named,
  async ({ id }, context) => ({
    commit: (tx) => {
      const at = context.clock.epochMs();
      if (!tx.eraseIdentity(id, at)) return unknownIdentity(id);
      tx.appendEvent("identity_erased", { ...actorOf(context), identity: id }, at);
      return done({ id, erased: true });
    },
  }),
);

/** Who did it, by which command: in every event that a command causes. */
export function actorOf(context: CommandContext): {
  readonly actor: string;
  readonly command: string;
} {
  return { actor: context.actor, command: context.commandId };
}

function shown(identity: Identity): Record<string, unknown> {
  const {
    id,
    displayName,
    groups,
    enabled,
    metadata,
    validFrom,
    validUntil,
    createdAt,
    updatedAt,
  } = identity;
  return {
    id,
    displayName,
    groups,
    enabled,
    metadata,
    ...(validFrom === undefined ? {} : { validFrom: rfc3339(validFrom) }),
    ...(validUntil === undefined ? {} : { validUntil: rfc3339(validUntil) }),
    createdAt: rfc3339(createdAt),
    updatedAt: rfc3339(updatedAt),
  };
}
