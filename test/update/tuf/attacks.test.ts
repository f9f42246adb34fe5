/** Whoever stands between the publisher and the device, or holds some of the keys. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { targetsJsonOf } from "../../../scripts/release/listing.ts";
import { delistPack } from "../../../scripts/release/packs.ts";
import { readPublished } from "../../../scripts/release/published.ts";
import {
  type AnyMetadata,
  addSignature,
  bytesOf,
  newSnapshot,
  newTargets,
  newTimestamp,
  parseRoot,
} from "../../../scripts/release/roles.ts";
import { signerNamed } from "../../../scripts/release/workspace.ts";
import { epochMs } from "../../../src/lib/brand.ts";
import type { WantedPack } from "../../../src/update/tuf/source.ts";
import { TestRepository } from "../../support/release.ts";
import { codeOf, never, Rig } from "./rig.ts";

const HOUR_MS = 3_600_000;

describe("a device and a hostile repository", () => {
  let rig: Rig;
  let wanted: WantedPack;
  /** As it was before the newest publication. */
  let older: string;
  before(async () => {
    rig = await Rig.make();
    wanted = (await rig.repository.release({ id: "door" })).wanted;
    older = await rig.copy("older");
    await rig.repository.release({ id: "other" });
  });
  afterEach(async () => {
    rig.server.mischief = () => undefined;
    rig.server.root = rig.repository.workspace.repository;
    rig.server.asked.splice(0);
    await rig.forget();
  });
  after(() => rig[Symbol.asyncDispose]());

  const metadata = (name: string): Promise<Buffer> =>
    readFile(join(rig.repository.workspace.repository, "metadata", name));

  async function signed(name: string, made: AnyMetadata): Promise<Buffer> {
    const { workspace, means } = rig.repository;
    const { publicKey, sign } = await signerNamed(workspace, name, means);
    addSignature(made, publicKey, sign);
    return bytesOf(made);
  }

  /** What somebody publishes who has the online key and that targets metadata. */
  async function thief(targetsVersion: number, targets: Buffer, timestampVersion = 90) {
    const life = { version: 90, expiresMs: Date.now() + HOUR_MS };
    const snapshot = await signed("online", newSnapshot(life, targetsVersion, targets));
    const timestamp = await signed(
      "online",
      newTimestamp({ ...life, version: timestampVersion }, Date.now(), 90, snapshot),
    );
    rig.server.mischief = (path) => {
      const name = path.split("/").at(-1);
      const content =
        name === "timestamp.json"
          ? timestamp
          : name === "90.snapshot.json"
            ? snapshot
            : name === `${targetsVersion}.targets.json`
              ? targets
              : undefined;
      return content === undefined ? undefined : { kind: "instead", content };
    };
  }

  test("an honest one gives the pack, and says what it is", async () => {
    const checked = await rig.check(wanted);
    assert.equal(codeOf(checked), "found");
    assert.ok(checked.outcome.kind === "found");
    assert.equal(checked.outcome.target.packId, wanted.id);
    const pack = JSON.parse(Buffer.from(checked.outcome.packJson).toString("utf8"));
    assert.equal(pack.id, wanted.id);
    const { root, timestamp, snapshot, targets } = checked.floors ?? {};
    assert.deepEqual(
      { root, timestamp, snapshot, targets },
      { root: 1, timestamp: 3, snapshot: 3, targets: 3 },
    );
    assert.ok(Math.abs(Number(checked.issuedAt) - Date.now()) < HOUR_MS);
  });

  test("rollback: what was seen is not gone back behind", async () => {
    const { floors } = await rig.check(wanted);
    rig.server.root = older;
    assert.equal(codeOf(await rig.check(wanted, { floors })), "tuf_rollback");
  });

  test("rollback: also when the device lost its metadata; the floors remember", async () => {
    const { floors } = await rig.check(wanted);
    await rig.forget();
    rig.server.root = older;
    assert.equal(codeOf(await rig.check(wanted, { floors })), "tuf_rollback");
    await rig.forget();
    assert.equal(codeOf(await rig.check(wanted)), "found", "only the floors know better");
  });

  test("mix and match: parts of different releases", async () => {
    const old = {
      snapshot: await metadata("2.snapshot.json"),
      targets: await metadata("2.targets.json"),
    };
    rig.server.mischief = (path) =>
      path.endsWith("3.snapshot.json") ? { kind: "instead", content: old.snapshot } : undefined;
    assert.equal(codeOf(await rig.check(wanted)), "tuf_mix");
    rig.server.mischief = (path) =>
      path.endsWith("3.targets.json") ? { kind: "instead", content: old.targets } : undefined;
    assert.equal(codeOf(await rig.check(wanted)), "tuf_mix");
  });

  test("mix and match: a stolen online key puts an old list under a new number", async () => {
    await thief(3, await metadata("2.targets.json"));
    assert.equal(codeOf(await rig.check(wanted)), "tuf_mix");
  });

  test("rollback: a stolen online key names an older list", async () => {
    const { floors } = await rig.check(wanted);
    await thief(2, await metadata("2.targets.json"));
    assert.equal(codeOf(await rig.check(wanted, { floors })), "tuf_rollback");
    await rig.forget();
    assert.equal(codeOf(await rig.check(wanted, { floors })), "tuf_rollback");
  });

  test("wrong key: another publisher's repository", async () => {
    const other = await TestRepository.make(join(rig.scratch, "stranger"));
    await other.release({ id: "door" });
    rig.server.root = other.workspace.repository;
    assert.equal(codeOf(await rig.check(wanted)), "tuf_signature");
  });

  test("threshold: a list with one signature of two", async () => {
    const published = await readPublished(rig.repository.workspace.repository);
    assert.ok(published !== undefined);
    const life = { version: 4, expiresMs: Date.now() + HOUR_MS };
    const made = newTargets(life, targetsJsonOf(published.targets));
    await thief(4, await signed("targets-1", made));
    assert.equal(codeOf(await rig.check(wanted)), "tuf_signature");
    await rig.forget();
    await thief(4, await signed("targets-2", made));
    assert.equal(codeOf(await rig.check(wanted)), "found", "with both it is a list");
  });

  test("threshold: a root that only one of the old keys has signed", async () => {
    const root = parseRoot(await metadata("1.root.json"));
    Object.assign(root.signed, { version: 2 });
    root.signatures = {};
    const content = await signed("root-1", root);
    rig.server.mischief = (path) =>
      path.endsWith("2.root.json") ? { kind: "instead", content } : undefined;
    assert.equal(codeOf(await rig.check(wanted)), "tuf_signature");
  });

  test("delisted: what was genuine yesterday is not offered today", async () => {
    const current = rig.repository.workspace.repository;
    const rigged = await Rig.make();
    try {
      const gone = (await rigged.repository.release({ id: "door" })).wanted;
      assert.equal(codeOf(await rigged.check(gone)), "found");
      await delistPack(rigged.repository.workspace, gone.id, rigged.repository.means);
      await rigged.repository.publish();
      assert.equal(codeOf(await rigged.check(gone)), "target_missing");
    } finally {
      await rigged[Symbol.asyncDispose]();
    }
    assert.equal(rig.server.root, current);
  });

  test("the two authorities disagree", async () => {
    const sha256 = wanted.sha256.replace(/^./, (c) => (c === "0" ? "1" : "0"));
    assert.equal(codeOf(await rig.check({ ...wanted, sha256 })), "target_disagrees");
    assert.equal(codeOf(await rig.check({ ...wanted, releaseCounter: 2 })), "target_disagrees");
  });

  test("wrong hardware or an old runtime: refused before a byte of the pack is fetched", async () => {
    const arm = await rig.check(wanted, { hardware: "riscv64" });
    assert.equal(codeOf(arm), "wrong_hardware");
    assert.ok(arm.outcome.kind === "refused" && arm.outcome.fault.retry === "never");
    assert.equal(codeOf(await rig.check(wanted, { version: "0.0.9" })), "runtime_too_old");
    assert.ok(!rig.server.paths().some((path) => path.startsWith("/targets/")));
  });

  test("bit flips: in every file, at the beginning, in the middle, at the end", async () => {
    const { length } = await metadata("3.targets.json");
    for (const name of ["timestamp.json", "3.snapshot.json", "3.targets.json", "pack.json"]) {
      for (const at of [1, length >> 1, length]) {
        rig.server.mischief = (path) => (path.endsWith(name) ? { kind: "flip", at } : undefined);
        const code = codeOf(await rig.check(wanted));
        assert.match(code, /^tuf_(?:malformed|signature|mix|hash|expired)$/, `${name} at ${at}`);
        await rig.forget();
      }
    }
  });

  test("endless data: every file has its limit", async () => {
    for (const name of [
      "2.root.json",
      "timestamp.json",
      "3.snapshot.json",
      "3.targets.json",
      "pack.json",
    ]) {
      rig.server.mischief = (path) => (path.endsWith(name) ? { kind: "endless" } : undefined);
      const code = codeOf(await rig.check(wanted));
      assert.equal(code, "too_large", name);
      await rig.forget();
    }
  });

  test("slow transfer: a file that stands still, one that drips", async () => {
    rig.server.mischief = (path) =>
      path.endsWith("timestamp.json") ? { kind: "stall", after: 10 } : undefined;
    assert.equal(codeOf(await rig.check(wanted)), "fetch_timeout");
    rig.server.mischief = (path) =>
      path.endsWith("3.targets.json") ? { kind: "drip", bytes: 10, everyMs: 20 } : undefined;
    assert.equal(codeOf(await rig.check(wanted)), "fetch_slow");
  });

  test("truncated: cut on the way, or short from the start", async () => {
    for (const name of ["timestamp.json", "3.snapshot.json", "3.targets.json", "pack.json"]) {
      rig.server.mischief = (path) =>
        path.endsWith(name) ? { kind: "cut", after: 50 } : undefined;
      assert.equal(
        codeOf(await rig.check(wanted, { options: { attempts: 1 } })),
        "fetch_failed",
        name,
      );
      rig.server.mischief = (path) =>
        path.endsWith(name) ? { kind: "shorter", bytes: 50 } : undefined;
      assert.match(codeOf(await rig.check(wanted)), /^tuf_(?:malformed|mix|hash)$/, name);
      await rig.forget();
    }
  });

  test("a line that was cut once is tried again", async () => {
    let cuts = 0;
    rig.server.mischief = (path) => {
      if (!path.endsWith("timestamp.json") || cuts > 0) return undefined;
      cuts += 1;
      return { kind: "cut", after: 10 };
    };
    assert.equal(codeOf(await rig.check(wanted)), "found");
  });

  test("freeze, and a clock that was set back: dates are judged by the time floor", async () => {
    const releases = rig.releases();
    const floor = epochMs(Date.now() + 73 * HOUR_MS);
    const checked = await releases.check(wanted, undefined, floor, never);
    assert.equal(codeOf(checked), "tuf_expired", "the machine's clock still says that it is good");
    assert.ok(checked.outcome.kind === "refused" && checked.outcome.isExpired);
    const now = await releases.check(wanted, undefined, epochMs(Date.now()), never);
    assert.equal(codeOf(now), "found");
  });
});
