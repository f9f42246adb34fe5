import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { checkRoot, directorKeysOf, readDirectors } from "../../src/config/trust.ts";
import { newSigner } from "../mqtt/harness.ts";

const folder = mkdtempSync(join(tmpdir(), "ostiary-trust-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};

test("keys of directors stand one a line, with a word beside them", async () => {
  const [first, second] = [newSigner(), newSigner()];
  const text = `# head office\n${first.publicKey}  # 2026\n\n${second.publicKey}\n`;
  assert.deepEqual(directorKeysOf(text), [first.publicKey, second.publicKey]);
  const ring = await readDirectors({ root: "", director: file("director.pub", text) });
  assert.ok(ring.has(first.kid) && ring.has(second.kid) && !ring.has(newSigner().kid));
});

test("a director's file that is missing, empty or holds no key names its fix", async () => {
  const read = (director: string) => readDirectors({ root: "", director });
  await assert.rejects(read(join(folder, "nowhere")), { code: "director_unreadable" });
  await assert.rejects(read(file("empty.pub", "# none yet\n")), { code: "director_empty" });
  await assert.rejects(read(file("bad.pub", "not a key\n")), { code: "bad_public_key" });
});

test("a root is TUF's, or none", async () => {
  const check = (root: string) => checkRoot({ root, director: "" });
  const root = { signed: { _type: "root", version: 1, expires: "2027-01-01T00:00:00Z" } };
  assert.deepEqual(await check(file("root.json", JSON.stringify(root))), {
    version: 1,
    expires: "2027-01-01T00:00:00Z",
  });
  const other = { signed: { ...root.signed, _type: "targets" } };
  await assert.rejects(check(file("targets.json", JSON.stringify(other))), {
    code: "root_invalid",
  });
  await assert.rejects(check(file("torn.json", '{"signed":')), { code: "root_invalid" });
  await assert.rejects(check(join(folder, "nowhere.json")), { code: "root_unreadable" });
});
