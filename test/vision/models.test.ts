/** What a pack must be before its models run: whole, genuine, and giving what it was released with. */
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Pack } from "../../src/embedding/pack.ts";
import type { Face } from "../../src/face/face.ts";
import { VisionOptions } from "../../src/observation/messages.ts";
import { buildPack } from "../../src/vision/build-pack.ts";
import { Models } from "../../src/vision/models.ts";
import { MOBILEFACENET, withoutModels, YUNET } from "../support/models.ts";
import { bundledPack } from "../support/pack.ts";
import { stillOf, THREE_PEOPLE } from "../support/people.ts";

const OPTIONS = VisionOptions.parse({ providers: ["cpu"] });
/** `T` with every property writable, for breaking it. */
type Writable<T> = { -readonly [Key in keyof T]: Writable<T[Key]> };

describe("opening a pack", () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "ostiary-pack-test-"));
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  /** A copy of the reference pack with something changed. */
  function broken(name: string, change: (copy: string, pack: Writable<Pack>) => void): string {
    const copy = join(directory, name);
    cpSync(bundledPack().directory, copy, { recursive: true });
    const pack = structuredClone(bundledPack().pack) as Writable<Pack>;
    change(copy, pack);
    writeFileSync(join(copy, "pack.json"), JSON.stringify(pack));
    return copy;
  }
  const opening = (copy: string, options = OPTIONS) => Models.open(copy, options);

  test("providers that are not here are named with their reasons; the CPU serves", async () => {
    await using models = await opening(
      bundledPack().directory,
      VisionOptions.parse({ providers: ["tensorrt", "cpu"] }),
    );
    assert.equal(models.loaded.provider, "cpu");
    assert.deepEqual(
      models.loaded.refused.map(({ provider }) => provider),
      ["tensorrt"],
    );
    assert.equal(models.loaded.spaceId, bundledPack().pack.embedder.spaceId);
  });

  test("a required provider that is not here is a refusal, not a fallback", async () => {
    await assert.rejects(
      opening(bundledPack().directory, VisionOptions.parse({ requireProvider: "tensorrt" })),
      { code: "provider_unavailable" },
    );
  });

  test("landmarks as the pack says: of the best cell, or blended", async () => {
    const picture = await stillOf(THREE_PEOPLE, 3);
    const [best, blended] = await Promise.all(
      (["best", "blended"] as const).map(async (landmarks) => {
        const copy = broken(landmarks, (_, pack) => {
          pack.detector.landmarks = landmarks;
        });
        await using models = await opening(copy);
        return await models.detect(models.image(picture));
      }),
    );
    assert.ok(best !== undefined && best.length >= 3);
    assert.deepEqual(
      best.map(({ box, score }) => ({ box, score })),
      blended?.map(({ box, score }) => ({ box, score })),
    );
    for (const [index, face] of best.entries()) {
      const other = blended?.[index]?.landmarks as Face["landmarks"];
      const moved = face.landmarks.map(({ x, y }, at) =>
        Math.hypot(x - (other[at]?.x ?? 0), y - (other[at]?.y ?? 0)),
      );
      const [right, left] = face.landmarks;
      assert.ok(Math.max(...moved) > 0);
      assert.ok(Math.max(...moved) < 0.3 * Math.hypot(right.x - left.x, right.y - left.y));
    }
  });

  test("a face is looked at again where the pack asks for two looks, else it stays as it is", async () => {
    const picture = await stillOf(THREE_PEOPLE, 3);
    for (const landmarks of ["best", "blended", "two-looks"] as const) {
      const copy = broken(`again-${landmarks}`, (_, pack) => {
        pack.detector.landmarks = landmarks;
      });
      await using models = await opening(copy);
      const image = models.image(picture);
      const [face] = await models.detect(image);
      assert.ok(face !== undefined);
      const again = await models.lookAgain(image, face);
      const isTwice = landmarks === "two-looks";
      assert.equal(again === face, !isTwice);
      assert.deepEqual([again?.box, again?.score], [face.box, face.score]);
      // Beyond the picture there is nothing to see; beside the face there is nobody.
      for (const x of [10_000, 0]) {
        const away: Face = { ...face, box: { ...face.box, x, y: 0 } };
        assert.equal(await models.lookAgain(image, away), isTwice ? undefined : away);
      }
    }
  });

  test("one changed byte, a cut file, a missing file", async () => {
    const changed = broken("changed", (copy) => {
      const bytes = readFileSync(join(copy, "embedder.onnx"));
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
      writeFileSync(join(copy, "embedder.onnx"), bytes);
    });
    await assert.rejects(opening(changed), { code: "pack_corrupt", message: /sha256/ });
    await assert.rejects(
      opening(broken("cut", (copy) => truncateSync(join(copy, "detector.onnx"), 1000))),
      { code: "pack_corrupt" },
    );
    await assert.rejects(opening(broken("gone", (copy) => rmSync(join(copy, "detector.onnx")))), {
      code: "pack_corrupt",
    });
    await assert.rejects(opening(join(directory, "nowhere")), { code: "pack_missing" });
  });

  test("a pack.json that is none, that lacks something, or that reaches out of its directory", async () => {
    const text = broken("text", () => undefined);
    writeFileSync(join(text, "pack.json"), "{");
    await assert.rejects(opening(text), { code: "pack_invalid" });
    await assert.rejects(opening(broken("unlisted", (_, pack) => void pack.files.pop())), {
      code: "pack_invalid",
    });
    await assert.rejects(
      opening(
        broken("outside", (_, pack) => Object.assign(pack.embedder, { file: "../../etc/passwd" })),
      ),
      { code: "pack_invalid" },
    );
  });

  test("golden vectors that this machine does not reproduce", async () => {
    const turned = broken("turned", (_, pack) => pack.golden.vectors[0]?.embedding.reverse());
    await assert.rejects(opening(turned), { code: "golden_mismatch" });
    const swapped = broken("swapped", (_, pack) => {
      const { preprocessing } = pack.embedder;
      preprocessing.channelOrder = preprocessing.channelOrder === "rgb" ? "bgr" : "rgb";
    });
    await assert.rejects(opening(swapped), { code: "golden_mismatch" });
  });

  test("models that are not what the pack says", async () => {
    await assert.rejects(
      opening(broken("input", (_, pack) => Object.assign(pack.embedder, { input: "pixels" }))),
      { code: "model_mismatch" },
    );
    await assert.rejects(
      opening(broken("width", (_, pack) => Object.assign(pack.embedder, { dimension: 128 }))),
      { code: "model_mismatch" },
    );
  });

  test("a pack is not built from a file that its preset does not describe, and leaves nothing behind", {
    skip: withoutModels(),
  }, async () => {
    const target = join(directory, "built");
    const foreign = {
      id: "foreign",
      directory: target,
      detectorFile: YUNET,
      embedderFile: MOBILEFACENET,
    };
    await assert.rejects(buildPack({ ...foreign, embedderPreset: "retail-0095" }), {
      code: "checksum_mismatch",
    });
    await assert.rejects(buildPack({ ...foreign, embedderPreset: "nothing" }), {
      code: "preset_unknown",
    });
    await assert.rejects(buildPack({ ...foreign, embedderFile: YUNET }), {
      code: "preset_unknown",
    });
    await assert.rejects(opening(target), { code: "pack_missing" });
  });
});
