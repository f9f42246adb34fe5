/** `enrolment/add-image`: one picture sent in becomes one template. */
import { z } from "zod";
import type { Embedding } from "../../embedding/embedding.ts";
import { faceOf, judgeImage } from "../../enrolment/image.ts";
import type { EnrolledShot } from "../../enrolment/source.ts";
import type { NewTemplate, RecordTransaction } from "../../gallery/record.ts";
import type { IdentityId, SpaceId } from "../../lib/brand.ts";
import type { Answer } from "../../lib/envelope.ts";
import { Fault } from "../../lib/fault.ts";
import { IdentityIdSchema } from "../../lib/id.ts";
import { answers, type CommandContext, changes, done, refusal } from "../command.ts";
import { shotRefused } from "../enrolment-refusals.ts";
import { checkImage } from "../image.ts";
import { inOtherSpace, storable } from "./enrolment-spaces.ts";
import { actorOf, unknownIdentity } from "./identity.ts";

/** Above any configured limit; that one is checked with a message of its own. */
const BASE64_MAX = 7_000_000;
const FACES_MAX = 16;

const addImage = z.strictObject({
  id: IdentityIdSchema.meta({ description: "whose face it is" }),
  image: z.base64().max(BASE64_MAX).meta({ description: "JPEG or PNG, base64" }),
  largest: z.boolean().default(false).meta({ description: "take the largest of several faces" }),
  allowDuplicate: z
    .boolean()
    .default(false)
    .meta({ description: "also when the face belongs to somebody else" }),
});

export const enrolmentAddImage = changes(
  "Adds a template from a picture",
  addImage,
  async (args, context, signal) => {
    const { id } = args;
    if (context.reader.identity(id) === undefined) return answers(unknownIdentity(id));
    const image = checkImage(args.image, context.options);
    if (image.kind === "refused") return answers(refusal(image.code, image.message));
    const gallery = galleryOf(context);
    const full = templatesFull(context, id, gallery.spaceId, 1);
    if (full !== undefined) return answers(full);

    const analysis = await context.vision.analyseImage(image.bytes, FACES_MAX, signal);
    if (analysis.spaceId !== gallery.spaceId)
      throw new Fault("model_changed", "the model was changed meanwhile: send it again", {
        retry: "later",
      });
    const chosen = faceOf(analysis.faces, args.largest);
    if (chosen.kind === "refused") return answers(shotRefused(chosen));
    const face = analysis.faces[chosen.index];
    if (face === undefined)
      return answers(shotRefused({ kind: "refused", code: "no_face", reasons: [] }));
    const candidates =
      face.embedding === undefined
        ? []
        : await gallery.search(face.embedding, candidatesOf(context));
    const judged = judgeImage(face, candidates, {
      identityId: id,
      spaceId: gallery.spaceId,
      limits: context.enrolmentLimits(),
      threshold: context.threshold(),
      allowDuplicate: args.allowDuplicate,
      options: context.enrolment(),
      largest: args.largest,
      ownTemplates: context.reader.templateCount(id, gallery.spaceId),
    });
    if (judged.kind === "refused") return answers(shotRefused(judged));
    const others = await inOtherSpace(context, [judged.shot], signal);
    return { commit: (tx) => addShots(tx, context, id, { shots: [judged.shot], others }, "image") };
  },
);

/** Accepted shots, and the same ones in a candidate's space. */
export interface NewShots {
  readonly shots: readonly EnrolledShot[];
  readonly others: Awaited<ReturnType<typeof inOtherSpace>>;
}

/** Everything of the effect: templates, event, answer. Runs in the command's transaction. */
export function addShots(
  tx: RecordTransaction,
  context: CommandContext,
  id: IdentityId,
  { shots, others }: NewShots,
  source: "image" | "camera",
): Answer {
  const at = context.clock.epochMs();
  const spaceId = shots[0]?.embedding.spaceId;
  if (spaceId === undefined) return refusal("internal", "an enrolment without shots");
  const full = templatesFull(context, id, spaceId, shots.length);
  if (full !== undefined) return full;
  const also = storable(context, id, others);
  const templatesAdded = shots.map((shot, index) => templateOf(shot, also[index]));
  const added = tx
    .addTemplates(id, templatesAdded, at)
    ?.filter((template) => template.spaceId === spaceId);
  if (added === undefined) return unknownIdentity(id);
  const templates = context.reader.templateCount(id, spaceId);
  tx.appendEvent(
    "identity_enrolled",
    { ...actorOf(context), identity: id, space: spaceId, added: added.length, templates, source },
    at,
  );
  return done({ id, added: added.length, templates });
}

/** Of an own gallery's nearest, enough to see beyond the person's own templates. */
export function candidatesOf(context: CommandContext): number {
  return context.enrolment().templatesPerIdentityMax + 8;
}

/** @throws Fault `not_ready` */
export function galleryOf(context: CommandContext) {
  const gallery = context.gallery();
  if (gallery === undefined)
    throw new Fault("not_ready", "the gallery is not loaded yet: send it again in a moment", {
      retry: "later",
    });
  return gallery;
}

export function templatesFull(
  context: CommandContext,
  id: IdentityId,
  spaceId: SpaceId,
  more: number,
): Answer | undefined {
  const { templatesPerIdentityMax } = context.enrolment();
  if (context.reader.templateCount(id, spaceId) + more <= templatesPerIdentityMax) return undefined;
  return refusal(
    "template_limit",
    `one person has at most ${templatesPerIdentityMax} templates (enrolment.templatesPerIdentityMax): erase and enrol anew`,
  );
}

function templateOf(
  { embedding, sourceCrop }: EnrolledShot,
  other: Embedding | undefined,
): NewTemplate {
  return {
    ...(other === undefined ? {} : { others: [other] }),
    spaceId: embedding.spaceId,
    vector: embedding.vector,
    ...(sourceCrop === undefined ? {} : { sourceCrop }),
  };
}
