import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { IdentityId } from "../../src/lib/brand.ts";
import type { Answer } from "../../src/lib/envelope.ts";
import { analysisOf, codeOfAnswer, faceOf, pngBase64, rig } from "./support/rig.ts";

const ada = { id: "ada", displayName: "Ada" };
const dataOf = (answer: Answer) =>
  answer.ok ? (answer.data as Record<string, unknown>) : assert.fail(JSON.stringify(answer));

test("put, get, disable, put again, erase", async () => {
  const { ask, store } = rig();
  const put = {
    ...ada,
    groups: ["staff", "stuff"],
    validFrom: "2026-01-01T00:00:00+01:00",
    validUntil: "2027-01-01T00:00:00Z",
  };
  assert.deepEqual(dataOf(await ask("identity/put", put)), {
    id: "ada",
    created: true,
    enabled: true,
    undeclaredGroups: ["stuff"],
  });
  const shown = dataOf(await ask("identity/get", { id: "ada" }));
  assert.equal(shown["validFrom"], "2025-12-31T23:00:00.000Z");
  assert.equal(shown["templates"], 0);
  assert.deepEqual(dataOf(await ask("identity/disable", { id: "ada" })), {
    id: "ada",
    enabled: false,
  });
  assert.equal(store.identities.get("ada" as IdentityId)?.enabled, false);
  assert.equal(dataOf(await ask("identity/put", ada))["created"], false);
  assert.equal(store.identities.get("ada" as IdentityId)?.enabled, true);
  assert.deepEqual(dataOf(await ask("identity/erase", { id: "ada" })), { id: "ada", erased: true });
  for (const name of ["identity/get", "identity/disable", "identity/erase"]) {
    assert.equal(codeOfAnswer(await ask(name, { id: "ada" })), "unknown_identity");
  }
});

test("a validity that ends before it begins is refused", async () => {
  const { ask } = rig();
  const answer = await ask("identity/put", {
    ...ada,
    validFrom: "2027-01-01T00:00:00Z",
    validUntil: "2026-01-01T00:00:00Z",
  });
  assert.equal(codeOfAnswer(answer), "invalid_arguments");
});

test("a list read page by page shows everybody once", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.stringMatching(/^[a-z][a-z0-9]{0,5}$/), { maxLength: 12 }),
      fc.integer({ min: 1, max: 5 }),
      async (ids, limit) => {
        const { ask } = rig();
        for (const id of ids) await ask("identity/put", { id, displayName: id });
        const seen: string[] = [];
        for (let cursor: unknown; ; ) {
          const page = dataOf(
            await ask("identity/list", { limit, ...(cursor === undefined ? {} : { cursor }) }),
          );
          const identities = page["identities"] as { id: string }[];
          assert.ok(identities.length <= limit);
          seen.push(...identities.map((each) => each.id));
          cursor = page["next"];
          if (cursor === undefined) break;
        }
        assert.deepEqual(seen, [...ids].sort());
      },
    ),
    { numRuns: 30 },
  );
});

test("add-image keeps one template of one good face", async () => {
  const { ask, store } = rig();
  await ask("identity/put", ada);
  assert.deepEqual(dataOf(await ask("enrolment/add-image", { id: "ada", image: pngBase64() })), {
    id: "ada",
    added: 1,
    templates: 1,
  });
  assert.equal(store.stored[0]?.identityId, "ada");
});

test("add-image refuses with a code and a way out", async () => {
  const { ask, vision, store } = rig({ imageMaxPixels: 1_000_000 });
  await ask("identity/put", ada);
  await ask("identity/put", { id: "bob", displayName: "Bob" });
  vision.analysis = async () => analysisOf(faceOf(7));
  await ask("enrolment/add-image", { id: "bob", image: pngBase64() });
  const attempt = async (
    faces: Parameters<typeof analysisOf>,
    args: Record<string, unknown> = {},
  ) => {
    vision.analysis = async () => analysisOf(...faces);
    return ask("enrolment/add-image", { id: "ada", image: pngBase64(), ...args });
  };
  assert.equal(codeOfAnswer(await attempt([])), "no_face");
  assert.equal(codeOfAnswer(await attempt([faceOf(1), faceOf(2)])), "several_faces");
  const poor = await attempt([faceOf(1, ["too_small", "blurred"])]);
  assert.deepEqual(poor.ok ? undefined : [poor.error.code, poor.error.reasons], [
    "low_quality",
    ["too_small", "blurred"],
  ]);
  assert.match(JSON.stringify(poor), /come closer/);
  const other = await attempt([faceOf(7)]);
  assert.equal(codeOfAnswer(other), "belongs_to_other");
  assert.match(JSON.stringify(other), /bob/);
  assert.equal(
    codeOfAnswer(await attempt([faceOf(1)], { image: Buffer.from("GIF89a").toString("base64") })),
    "unsupported_image",
  );
  assert.equal(
    codeOfAnswer(await attempt([faceOf(1)], { image: pngBase64(2000, 2000) })),
    "image_too_large",
  );
  assert.equal(
    codeOfAnswer(await attempt([faceOf(1)], { image: "not base64!" })),
    "invalid_arguments",
  );
  assert.equal(codeOfAnswer(await attempt([faceOf(1)], { id: "nobody" })), "unknown_identity");
  assert.equal(store.stored.length, 1);
  assert.equal(codeOfAnswer(await attempt([faceOf(7)], { allowDuplicate: true })), "ok");
});

test("add-image holds one person to the cap and to one face", async () => {
  const { ask, vision, store } = rig();
  await ask("identity/put", ada);
  for (let i = 0; i < 8; i += 1)
    assert.equal(
      codeOfAnswer(await ask("enrolment/add-image", { id: "ada", image: pngBase64(640, 480, i) })),
      "ok",
    );
  assert.equal(
    codeOfAnswer(await ask("enrolment/add-image", { id: "ada", image: pngBase64() })),
    "template_limit",
  );
  store.stored.length = 1;
  vision.analysis = async () => analysisOf(faceOf(2));
  assert.equal(
    codeOfAnswer(await ask("enrolment/add-image", { id: "ada", image: pngBase64() })),
    "different_person",
  );
});

test("snapshots are off until the configuration allows them", async () => {
  assert.equal(
    codeOfAnswer(await rig().ask("camera/snapshot", { cameraId: "front" })),
    "snapshot_disabled",
  );
  const { ask } = rig({ snapshot: { enabled: true } });
  assert.equal(codeOfAnswer(await ask("camera/snapshot", { cameraId: "back" })), "unknown_camera");
  assert.deepEqual(dataOf(await ask("camera/snapshot", { cameraId: "front" })), {
    cameraId: "front",
    capturedAt: "1970-01-01T00:00:00.000Z",
    jpeg: "AQID",
  });
});

test("stats, status and replay answer", async () => {
  const { ask } = rig();
  await ask("identity/put", ada);
  assert.equal(dataOf(await ask("gallery/stats", {}))["identities"], 1);
  assert.deepEqual(dataOf(await ask("device/status", undefined)), { version: "0.1.0" });
  assert.deepEqual(dataOf(await ask("event/replay", { fromSeq: 1 })), { first: 1, last: 1 });
  assert.deepEqual(dataOf(await ask("event/replay", { fromSeq: 9 })), { first: null, last: null });
});
