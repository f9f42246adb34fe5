import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { inspect } from "node:util";
import { loadDeviceKey } from "../../src/store/device-key.ts";
import { SealBroken, SealingKey } from "../../src/store/sealing.ts";
import { RecordingLog } from "../support/log.ts";
import { seededBytes } from "./support.ts";

const root = mkdtempSync(join(tmpdir(), "ostiary-key-"));
after(() => rmSync(root, { recursive: true, force: true }));
const randomBytes = seededBytes(4);
const deps = () => ({ log: new RecordingLog(), randomBytes });
const keyFile = (name: string, content: string | Uint8Array, mode = 0o600): string => {
  const path = join(root, name);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
};
const text = Buffer.from("text");

describe("device key", () => {
  test("is read as bytes or hex, and a credential wins over the file", () => {
    const bytes = new Uint8Array(32).fill(9);
    const file = keyFile("hex", `${Buffer.from(bytes).toString("hex")}\n`);
    const sealed = new SealingKey(bytes, randomBytes).seal(text, "p|1");
    assert.deepEqual(
      loadDeviceKey({ file, insecureGenerated: false }, deps()).open(sealed, "p|1"),
      text,
    );
    keyFile("device-key", bytes, 0o400);
    const other = keyFile("other", new Uint8Array(32).fill(1));
    assert.deepEqual(
      loadDeviceKey(
        { credentialsDirectory: root, file: other, insecureGenerated: false },
        deps(),
      ).open(sealed, "p|1"),
      text,
    );
  });

  test("is refused when others may read it, when it is a link, and when it is no key", () => {
    const open = keyFile("open", new Uint8Array(32), 0o644);
    assert.throws(() => loadDeviceKey({ file: open, insecureGenerated: false }, deps()), {
      code: "device_key_exposed",
    });
    symlinkSync(keyFile("target", new Uint8Array(32)), join(root, "link"));
    assert.throws(
      () => loadDeviceKey({ file: join(root, "link"), insecureGenerated: false }, deps()),
      { code: "device_key_missing" },
    );
    for (const content of ["", "short", "z".repeat(64), new Uint8Array(33)]) {
      assert.throws(
        () => loadDeviceKey({ file: keyFile("bad", content), insecureGenerated: false }, deps()),
        { code: "device_key_invalid" },
      );
    }
  });

  test("is made up only when the site says so, warns, and is then the same", () => {
    const file = join(root, "state-of-a-first-start", "made");
    assert.throws(() => loadDeviceKey({ file, insecureGenerated: false }, deps()), {
      code: "device_key_missing",
    });
    const first = deps();
    const sealed = loadDeviceKey({ file, insecureGenerated: true }, first).seal(text, "p|1");
    assert.equal(first.log.entries[0]?.level, "warn");
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.deepEqual(
      loadDeviceKey({ file, insecureGenerated: true }, deps()).open(sealed, "p|1"),
      text,
    );
  });
});

describe("sealing", () => {
  const key = new SealingKey(new Uint8Array(32).fill(7), randomBytes);
  test("opens in its place only, and every changed or missing byte breaks it", () => {
    const sealed = key.seal(text, "table|row|1");
    assert.deepEqual(key.open(sealed, "table|row|1"), text);
    assert.throws(() => key.open(sealed, "table|other|1"), SealBroken);
    for (let at = 0; at < sealed.length; at += 1) {
      const changed = Uint8Array.from(sealed, (byte, index) => (index === at ? byte ^ 1 : byte));
      assert.throws(() => key.open(changed, "table|row|1"), SealBroken);
      assert.throws(() => key.open(sealed.subarray(0, at), "table|row|1"), SealBroken);
    }
  });

  test("the key is in no printout", () => {
    assert.ok(
      !inspect(key, { showHidden: true, depth: 9 }).includes("7, 7") &&
        !JSON.stringify(key).includes("7"),
    );
  });
});
