import assert from "node:assert/strict";
import { test } from "node:test";
import { packUseOf, startWarningsOf } from "../../src/config/pack-use.ts";
import { type Config, FileConfig } from "../../src/config/schema.ts";
import { PackIdSchema } from "../../src/lib/id.ts";

const config = (insecure: object = {}): Config => {
  const mqtt = { site: "s", device: "d", url: "mqtts://broker.example" };
  const key = { name: "a", publicKey: `${"A".repeat(43)}=`, role: "administrator" };
  const { cameras: _, ...rest } = FileConfig.parse({ mqtt, insecure, control: { keys: [key] } });
  return { ...rest, cameras: [] };
};
const FOR_DOORS = { id: PackIdSchema.parse("p"), demoOnly: false };
const FOR_DEMOS = { ...FOR_DOORS, demoOnly: true };

test("a pack for doors opens them, whatever the site says, and nothing is warned of", () => {
  for (const demoOnlyPack of [false, true])
    assert.deepEqual(packUseOf(FOR_DOORS, config({ demoOnlyPack })), {
      opensDoors: true,
    });
  assert.deepEqual(startWarningsOf(FOR_DOORS, config()), []);
});

test("a demoOnly pack opens none unless the site says so; it warns either way", () => {
  const refused = packUseOf(FOR_DEMOS, config());
  assert.equal(refused.opensDoors, false);
  assert.match(refused.warning ?? "", /pack p is marked demoOnly.*denied as demo_only/);
  const allowed = packUseOf(FOR_DEMOS, config({ demoOnlyPack: true }));
  assert.equal(allowed.opensDoors, true);
  assert.match(allowed.warning ?? "", /insecure\.demoOnlyPack lets it/);
  assert.deepEqual(
    startWarningsOf(FOR_DEMOS, config({ demoOnlyPack: true })).map(({ code }) => code),
    ["insecure", "demo_only"],
  );
});
