import assert from "node:assert/strict";
import { test } from "node:test";
import type { OtherSpace } from "../../src/control/candidate.ts";
import type { NewTemplate } from "../../src/gallery/record.ts";
import type { SpaceId } from "../../src/lib/brand.ts";
import { pngBase64, rig, vectorOf } from "./support/rig.ts";

const OTHER = "space-2" as SpaceId;
const other = (embed: OtherSpace["embed"] = async (crops) => crops.map(() => vectorOf(7))) => ({
  spaceId: OTHER,
  embed,
});

/** What a picture's template was stored with. */
async function added(candidate: OtherSpace | undefined, closes = false) {
  const site = rig();
  let open = candidate;
  Object.assign(site.commands, { otherSpace: () => open });
  const seen: NewTemplate[] = [];
  const commit = site.store.commitCommand;
  Object.assign(site.store, {
    commitCommand: ((stamp, effect) => {
      if (closes) open = undefined;
      return commit(stamp, (tx) =>
        effect({
          ...tx,
          addTemplates: (id, templates, at) => {
            seen.push(...templates);
            return tx.addTemplates(id, templates, at);
          },
        }),
      );
    }) satisfies typeof commit,
  });
  await site.ask("identity/put", { id: "ada", displayName: "Ada" });
  const answer = await site.ask("enrolment/add-image", { id: "ada", image: pngBase64() });
  assert.ok(answer.ok, JSON.stringify(answer));
  assert.equal((answer.data as { readonly added: number }).added, 1);
  return seen.map(({ others }) => others);
}

test("while a candidate is open, an enrolment is said in its space too", async () => {
  assert.deepEqual(await added(other()), [[{ spaceId: OTHER, vector: vectorOf(7) }]]);
});

test("without one, or when it is away or gives nonsense, the enrolment is kept all the same", async () => {
  const failing = other(() => Promise.reject(new Error("gone")));
  const nonsense = other(async (crops) => crops.map(() => new Float32Array(16)));
  const short = other(async () => []);
  for (const candidate of [undefined, failing, nonsense, short])
    assert.deepEqual(await added(candidate), [undefined]);
});

test("a candidate that was closed meanwhile leaves nothing behind", async () => {
  assert.deepEqual(await added(other(), true), [undefined]);
});
