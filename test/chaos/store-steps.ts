/** The commands that the crash harness gives a store: a seeded life of a few people. */
import type { EpochMs, IdentityId, SpaceId } from "../../src/lib/brand.ts";
import type { Answer } from "../../src/lib/envelope.ts";
import type { Store } from "../../src/store/store.ts";
import { now, person, space, unitVector } from "../store/support.ts";

/** One command, named by what it should have done once it is acknowledged. */
export interface CrashStep {
  readonly kind: "put" | "add" | "disable" | "erase";
  readonly identityId: IdentityId;
  readonly run: (stamp: { readonly id: string; readonly seq: number }) => Answer;
}

/** What a module must export to be put under the crash harness: steps are made one at a time, in order. */
export type MakeSteps = (store: Store, random: () => number) => Iterable<CrashStep>;

const KID = "0123456789abcdef";
const PEOPLE = 6;
const DIMENSION = 32;
const OTHER_SPACE = "space-2" as SpaceId;
const cropOf = (random: () => number) => ({
  png: Uint8Array.from({ length: 3000 }, () => Math.floor(random() * 256)),
  landmarks: [{ x: 1, y: 2 }],
});

export const steps: MakeSteps = function* (store, random) {
  const at = now as EpochMs;
  for (;;) {
    const identityId = `p${Math.floor(random() * PEOPLE)}` as IdentityId;
    const known = store.record.identity(identityId);
    const kind =
      known === undefined ? "put" : chosen(random(), store.record.templateCount(identityId, space));
    const vectors = [unitVector(random, DIMENSION), unitVector(random, DIMENSION)];
    const crop = cropOf(random);
    yield {
      kind,
      identityId,
      run: ({ id, seq }) => {
        // A candidate's space is filled meanwhile: what is in it is erased with the rest.
        reembed(store, identityId, at);
        const outcome = store.inbox.commitCommand(
          { id, kid: KID, stream: "stream-1", seq, at },
          (tx) => {
            if (kind === "put") tx.putIdentity(person(identityId), at);
            if (kind === "add")
              tx.addTemplates(
                identityId,
                vectors.map((vector) => ({ spaceId: space, vector, sourceCrop: crop })),
                at,
              );
            if (kind === "disable") tx.setEnabled(identityId, false, at);
            if (kind === "erase") tx.eraseIdentity(identityId, at);
            tx.appendEvent(`identity/${kind}`, { identityId, seq }, at);
            return { ok: true, data: { kind, seq } };
          },
        );
        if (outcome.kind !== "done") throw new Error(`command ${id} was ${outcome.kind}`);
        return outcome.answer;
      },
    };
  }
};

function reembed(store: Store, identityId: IdentityId, at: EpochMs): void {
  const pending = store.reembedding.pending(OTHER_SPACE, identityId);
  if (pending.kind !== "crops") throw new Error(`the crops of ${identityId} are ${pending.kind}`);
  if (pending.crops.length === 0) return;
  const templates = pending.crops.map(({ templateId: id }, index) => {
    const vector = new Float32Array(DIMENSION);
    vector[index % DIMENSION] = 1;
    return { id, vector };
  });
  store.addReembedded(OTHER_SPACE, [{ identityId, templates }], identityId, at);
}

function chosen(value: number, templates: number): CrashStep["kind"] {
  if (templates >= 8) return "erase";
  if (value < 0.4) return "add";
  if (value < 0.55) return "disable";
  if (value < 0.65) return "put";
  return "erase";
}
