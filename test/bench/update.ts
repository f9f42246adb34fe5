/** A pack takes over: how long no frame is looked at, how long it takes, how fast the gallery follows. */
import { reembedDepsOf } from "../../src/control/candidate.ts";
import { reembedFrom } from "../../src/control/reembed.ts";
import type { IdentityId, SpaceId } from "../../src/lib/brand.ts";
import type { PackOnDisk } from "../../src/release/ports.ts";
import { createClock } from "../../src/system/clock.ts";
import { CandidateProcess } from "../../src/vision/candidate.ts";
import { readPackOnDisk } from "../../src/vision/read-pack.ts";
import { RecordingLog } from "../support/log.ts";
import { referencePack } from "../support/pack.ts";
import { packVariant } from "../support/packs-variants.ts";
import { LEFT, stillOf, THREE_PEOPLE } from "../support/people.ts";
import { gapsOf, UpdateRig, vision } from "../support/update-rig.ts";
import { atMost, type Bench, type BenchContext, digits } from "./bench.ts";
import { bytesFetched } from "./update-bytes.ts";

const NEVER = new AbortController().signal;
const CROPS_EACH = 5;
const clock = createClock();

export const bench: Bench = async (context) => {
  const [reference, other] = await Promise.all([
    readPackOnDisk(referencePack().directory),
    readPackOnDisk(packVariant("turned").directory),
  ]);
  await using rig = await UpdateRig.open();
  const filled = await rateOf(rig, other, context);
  const { gaps, forthMs, backMs } = await switches(rig, reference, other, context);
  const bytes = await bytesFetched(reference, other);
  const seconds = filled.ms / 1000;
  return {
    tables: [
      {
        title: "A pack with another space takes over, one camera, 720p at 10 frames a second",
        columns: ["what", "median", "worst"],
        rows: [
          ["between the last frame of one pack and the first of the other, ms", ...both(gaps)],
          ["the switch with models, gallery and warm-up, ms", ...both(forthMs)],
          ["the switch back, ms", ...both(backMs)],
        ],
        notes: [`${gaps.length} switches, there and back, with ${filled.crops} templates a space`],
      },
      {
        title: "Re-embedding from encrypted crops, beside a camera, at low priority",
        columns: ["crops", "seconds", "crops a second"],
        rows: [[filled.crops, digits(seconds), digits(filled.crops / seconds)]],
        notes: ["a page of identities is one durable transaction"],
      },
      {
        title: "Bytes on the wire for an update that changes only the embedder",
        columns: ["TUF metadata", "pack.json", "models", "all models of the pack"],
        rows: [[bytes.metadata, bytes.manifest, bytes.models, bytes.whole]],
        notes: [
          "a signed repository over HTTP, the device's own client; answers counted by the server",
        ],
      },
    ],
    budgets: [
      atMost("gap in frames at the switch, worst", 1000, Math.max(...gaps), "ms"),
      atMost("roll-back offline, worst", 5000, Math.max(...backMs), "ms"),
    ],
  };
};

async function rateOf(rig: UpdateRig, pack: PackOnDisk, { quick, say }: BenchContext) {
  const people = quick ? 8 : 100;
  const still = await stillOf(THREE_PEOPLE, 3, LEFT);
  const { faces, spaceId } = await rig.process.analyseImage(still, { maxFaces: 1 });
  const { embedding: vector, sourceCrop } = faces[0] ?? {};
  if (vector === undefined || sourceCrop === undefined) throw new Error("no face in the still");
  for (let person = 0; person < people; person += 1)
    for (let shot = 0; shot < CROPS_EACH; shot += 1)
      rig.add(`p${String(person).padStart(4, "0")}`, { spaceId, vector, sourceCrop });
  const log = new RecordingLog();
  const options = { packDirectory: pack.directory, vision };
  await using candidate = await CandidateProcess.open(options, { clock, log });
  const deps = reembedDepsOf(pack, { store: rig.store, clock, log }, async (crops, signal) => {
    const { embeddings } = await candidate.embedCrops(crops, signal);
    return embeddings;
  });
  const from = clock.monotonicMs();
  const { templates } = await reembedFrom(undefined, deps, (id: IdentityId) => void id, NEVER);
  const ms = clock.monotonicMs() - from;
  say(`${templates} crops in ${Math.round(ms)} ms`);
  return { crops: templates, ms };
}

async function switches(
  rig: UpdateRig,
  reference: PackOnDisk,
  other: PackOnDisk,
  { quick, say }: BenchContext,
) {
  const [forthMs, backMs]: [number[], number[]] = [[], []];
  const timed = async (pack: PackOnDisk): Promise<number> => {
    const from = clock.monotonicMs();
    await rig.runtime.switchTo(pack, NEVER);
    const ms = clock.monotonicMs() - from;
    await rig.seen(pack.pack.embedder.spaceId as SpaceId, 10);
    say(`${pack.pack.id} after ${Math.round(ms)} ms`);
    return ms;
  };
  for (let round = 0; round < (quick ? 1 : 5); round += 1) {
    forthMs.push(await timed(other));
    backMs.push(await timed(reference));
  }
  return { gaps: gapsOf(rig.observed), forthMs, backMs };
}

function both(values: readonly number[]): readonly [string, string] {
  const sorted = values.toSorted((a, b) => a - b);
  return [digits(sorted[sorted.length >> 1] ?? Number.NaN), digits(sorted.at(-1) ?? Number.NaN)];
}
