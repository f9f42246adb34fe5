import { readPackOnDisk } from "../../src/vision/read-pack.ts";
import { withoutModels } from "../support/models.ts";
import { packVariant } from "../support/packs-variants.ts";
import { LEFT, MIDDLE, RIGHT, stillOf, THREE_PEOPLE } from "../support/people.ts";
import { UpdateRig } from "../support/update-rig.ts";
import { FACTORY, FakeRuntime } from "../update/rig.ts";
import { Scratch, tinyPack, writePack } from "../update/support.ts";
import { updateRuntimeContract } from "./update-runtime.ts";

updateRuntimeContract("the tests' own", async () => {
  const scratch = new Scratch();
  const pack = await readPackOnDisk(writePack(scratch.at("factory"), FACTORY));
  const tiny = tinyPack({ counter: 2, spaceId: "space-2" });
  const other = await readPackOnDisk(writePack(scratch.at("other"), tiny));
  const runtime = new FakeRuntime(pack);
  runtime.withoutCrops = ["eve"];
  return {
    runtime,
    other,
    withCrops: ["ada", "bob"],
    withoutCrops: ["eve"],
    [Symbol.asyncDispose]: async () => scratch[Symbol.dispose](),
  };
});

updateRuntimeContract(
  "the appliance's",
  async () => {
    const rig = await UpdateRig.open();
    const still = (part: typeof LEFT): Promise<Buffer> => stillOf(THREE_PEOPLE, 3, part);
    await rig.enrol("ada", await still(LEFT), { crop: true });
    await rig.enrol("bob", await still(MIDDLE), { crop: true });
    await rig.enrol("eve", await still(RIGHT), { crop: false });
    return {
      runtime: rig.runtime,
      other: await readPackOnDisk(packVariant("turned").directory),
      withCrops: ["ada", "bob"],
      withoutCrops: ["eve"],
      [Symbol.asyncDispose]: () => rig[Symbol.asyncDispose](),
    };
  },
  withoutModels(),
);
