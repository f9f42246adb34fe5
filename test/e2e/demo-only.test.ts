/** The bundled pack at a door: while it is marked demoOnly, it recognises people and lets nobody through. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { findPortrait, makeClips } from "../../scripts/demo/clip.ts";
import { DEMO_ONLY_MATCH } from "../../scripts/demo/daemon.ts";
import { bundledPack } from "../support/pack.ts";
import { GROUP, reasons, said, startSite } from "../support/site.ts";

const { directory: packDirectory, pack } = bundledPack();
const skip = pack.demoOnly ? false : `the bundled pack ${pack.id} is for doors`;

test("a person whom a demo-only pack recognises is denied, by name and with the reason", {
  skip,
}, async (context) => {
  const scratch = mkdtempSync(join(tmpdir(), "ostiary-demo-only-"));
  context.after(() => rmSync(scratch, { recursive: true, force: true }));
  const portrait = await findPortrait(resolve(import.meta.dirname, "../.."));
  const { walk } = await makeClips(portrait, scratch, context.signal);
  await using site = await startSite({
    config: {
      match: DEMO_ONLY_MATCH,
      insecure: { generatedDeviceKey: true },
      paths: { state: join(scratch, "state"), runtime: join(scratch, "run"), pack: packDirectory },
    },
  });
  const warned = site.daemon.log.find(({ code }) => code === "demo_only");
  assert.equal(warned?.["level"], "warn");
  const { demoOnly, opensDoors } = await site.status();
  assert.deepEqual([demoOnly, opensDoors], [true, false]);
  await site.done("identity/put", { id: "visitor", displayName: "Visitor", groups: [GROUP] });
  const image = readFileSync(portrait).toString("base64");
  await site.done("enrolment/add-image", { id: "visitor", image });
  const decisions = await site.visit("front", walk, (all) => reasons(all, "demo_only").length > 0);
  assert(
    decisions.every(({ outcome }) => outcome === "deny"),
    said(decisions),
  );
  assert.equal(reasons(decisions, "demo_only")[0]?.identity, "visitor");
});
