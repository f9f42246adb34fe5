/** A candidate's process: real models, in a process that may die of them. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { cosineOf } from "../../src/lib/vector.ts";
import { type SampledFrame, VisionOptions } from "../../src/observation/messages.ts";
import { createClock } from "../../src/system/clock.ts";
import { CandidateProcess } from "../../src/vision/candidate.ts";
import { RecordingLog } from "../support/log.ts";
import { withoutModels } from "../support/models.ts";
import { type BuiltPack, referencePack } from "../support/pack.ts";
import { packVariant } from "../support/packs-variants.ts";

const open = ({ directory }: BuiltPack): Promise<CandidateProcess> =>
  CandidateProcess.open(
    { packDirectory: directory, vision: VisionOptions.parse({ providers: ["cpu"] }) },
    { clock: createClock(), log: new RecordingLog() },
  );

describe("a candidate's process", { skip: withoutModels() }, () => {
  test("runs its golden vectors, and gives way to everything else", async () => {
    await using candidate = await open(packVariant("turned"));
    assert.equal(candidate.loaded.spaceId, "turned.arcface112.v1");
    const { goldenCosine = 0, isRepeatable, p95Ms, rssBytes } = await candidate.selfTest(3, 60_000);
    assert.ok(goldenCosine > 0.9999, String(goldenCosine));
    assert.ok(isRepeatable && p95Ms > 0 && rssBytes > 1e7);
    const nices = nicesOf(candidate.pid ?? 0);
    assert.ok(nices.length > 3 && nices.every((nice) => nice === 10), nices.join(" "));
    assert.equal(readFileSync(`/proc/${candidate.pid}/oom_score_adj`, "utf8").trim(), "900");
  });

  test("a model that ends the process is an answer with a code", async () => {
    await assert.rejects(open(packVariant("crashing")), (fault: { readonly code: string }) =>
      // Processors that do not trap give another number, and the golden vectors tell.
      ["vision_restarted", "golden_mismatch"].includes(fault.code),
    );
  });

  test("a frame of another size than it says is refused, and the process goes on", async () => {
    await using candidate = await open(referencePack());
    const frame = (pixels: number): SampledFrame => ({
      cameraId: "front" as SampledFrame["cameraId"],
      widthPx: 640,
      heightPx: 360,
      pixels: new Uint8Array(pixels).fill(128),
    });
    await assert.rejects(candidate.look(frame(100)), { code: "frame_invalid" });
    const { faces, spaceId } = await candidate.look(frame(640 * 360 * 1.5));
    assert.deepEqual([faces, spaceId], [[], referencePack().pack.embedder.spaceId]);
  });

  test("the variants are what they say", () => {
    const golden = (pack: BuiltPack, index: number): Float32Array =>
      Float32Array.from(pack.pack.golden.vectors[index]?.embedding ?? []);
    const [reference, turned, worse] = [
      referencePack(),
      packVariant("turned"),
      packVariant("worse"),
    ];
    const between = (pack: BuiltPack): number => cosineOf(golden(pack, 0), golden(pack, 1));
    assert.ok(Math.abs(between(turned) - between(reference)) < 1e-4, "turned is as good");
    assert.ok(cosineOf(golden(turned, 0), golden(reference, 0)) < 0.5, "and another space");
    assert.ok(between(worse) > 0.99, "worse tells nobody apart");
  });
});

/** Of every thread. */
function nicesOf(pid: number): readonly number[] {
  return readdirSync(`/proc/${pid}/task`).map((task) => {
    const stat = readFileSync(`/proc/${pid}/task/${task}/stat`, "utf8");
    // Field 19, counted from behind the name in brackets, which is field 2.
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[16]);
  });
}
