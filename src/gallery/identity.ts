/** An enrolled person. */
import { z } from "zod";
import type { EpochMs, IdentityId } from "../lib/brand.ts";
import { GroupName, IdentityIdSchema } from "../lib/id.ts";

const instant = z.iso.datetime({ offset: true }).transform((value) => Date.parse(value) as EpochMs);

/** What a command may say of an identity. Times arrive as RFC 3339. */
export const IdentityFields = z.strictObject({
  id: IdentityIdSchema,
  displayName: z.string().min(1).max(200),
  groups: z.array(GroupName).max(64).default([]),
  validFrom: instant.optional(),
  validUntil: instant.optional(),
  enabled: z.boolean().default(true),
  metadata: z
    .record(z.string().max(64), z.string().max(500))
    .refine((value) => Object.keys(value).length <= 32, "at most 32 entries")
    .default({}),
});
export type IdentityFields = z.infer<typeof IdentityFields>;

export interface Identity {
  readonly id: IdentityId;
  readonly displayName: string;
  readonly groups: readonly string[];
  readonly validFrom?: EpochMs;
  /** Exclusive. */
  readonly validUntil?: EpochMs;
  readonly enabled: boolean;
  readonly metadata: Readonly<Record<string, string>>;
  readonly createdAt: EpochMs;
  readonly updatedAt: EpochMs;
}
