/** While a candidate pack is tried, whoever is enrolled is enrolled in its space too. */
import type { Embedding } from "../../embedding/embedding.ts";
import type { EnrolledShot } from "../../enrolment/source.ts";
import type { IdentityId } from "../../lib/brand.ts";
import { isUnit } from "../../lib/vector.ts";
import type { SourceCrop } from "../../observation/messages.ts";
import type { CommandContext } from "../command.ts";

/** A person waits for the answer; what is missing is embedded before the candidate serves. */
const PATIENCE_MS = 3000;

/**
 * The shots as the candidate sees them, one entry per shot: none without a candidate, without a kept crop,
 * or while its process is away.
 */
export async function inOtherSpace(
  context: CommandContext,
  shots: readonly EnrolledShot[],
  signal: AbortSignal,
): Promise<readonly (Embedding | undefined)[]> {
  const none = shots.map(() => undefined);
  const other = context.otherSpace?.();
  const crops = shots.flatMap(({ sourceCrop }): SourceCrop[] => {
    if (sourceCrop === undefined) return [];
    const [a, b, c, d, e] = sourceCrop.landmarks;
    return [{ png: new Uint8Array(sourceCrop.png), landmarks: [a, b, c, d, e] }];
  });
  // Vectors are told apart by their place: all shots have a crop, or none has.
  if (other === undefined || crops.length === 0 || crops.length < shots.length) return none;
  const { spaceId } = other;
  try {
    const patience = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]);
    const vectors = await other.embed(crops, patience);
    return shots.map((_, index) => {
      const vector = vectors[index];
      const isUsable = vector !== undefined && isUnit(vector, vector.length);
      return isUsable ? { spaceId, vector } : undefined;
    });
  } catch {
    return none;
  }
}

/** What of it may still be stored: the candidate is open, and its space has room. */
export function storable(
  context: CommandContext,
  id: IdentityId,
  others: readonly (Embedding | undefined)[],
): readonly (Embedding | undefined)[] {
  const spaceId = context.otherSpace?.()?.spaceId;
  const { templatesPerIdentityMax } = context.enrolment();
  const isFull =
    spaceId === undefined ||
    context.reader.templateCount(id, spaceId) + others.length > templatesPerIdentityMax;
  return others.map((other) => (isFull || other?.spaceId !== spaceId ? undefined : other));
}
