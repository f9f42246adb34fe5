/** What a device keeps of what it has verified, and what becomes of it when the disk does not keep it. */
import assert from "node:assert/strict";
import { mkdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { addSignature, bytesOf, newTimestamp } from "../../../scripts/release/roles.ts";
import { renew } from "../../../scripts/release/sign.ts";
import { signerNamed } from "../../../scripts/release/workspace.ts";
import type { WantedPack } from "../../../src/update/tuf/source.ts";
import { codeOf, Rig } from "./rig.ts";

describe("what a device keeps", () => {
  let rig: Rig;
  let wanted: WantedPack;
  before(async () => {
    rig = await Rig.make();
    wanted = (await rig.repository.release({ id: "door" })).wanted;
  });
  afterEach(async () => {
    rig.server.mischief = () => undefined;
    await rig.forget();
  });
  after(() => rig[Symbol.asyncDispose]());

  const kept = (): string => join(rig.stateDirectory, "trusted.json");

  test("torn anywhere, emptied or rotten, it begins again from the pinned root", async () => {
    const { floors } = await rig.check(wanted);
    const whole = await readFile(kept());
    const damaged = [0, 1, 17, 200, whole.length >> 1, whole.length - 1].map((length) =>
      whole.subarray(0, length),
    );
    for (let at = 60; at < whole.length; at += 1009) {
      const rotten = Buffer.from(whole);
      rotten[at] = (rotten[at] ?? 0) ^ 1;
      damaged.push(rotten);
    }
    for (const bytes of damaged) {
      await writeFile(kept(), bytes);
      assert.equal(codeOf(await rig.check(wanted, { floors })), "found");
    }
    assert.deepEqual(await readFile(kept()), whole, "and is whole afterwards");
  });

  test("a timestamp, snapshot or list that rotted alone is fetched again", async () => {
    const { floors } = await rig.check(wanted);
    const trusted = JSON.parse(await readFile(kept(), "utf8"));
    for (const role of ["root", "timestamp", "snapshot", "targets"]) {
      for (const content of ["", "{", '{"signed":{},"signatures":[]}']) {
        const files = { ...trusted.files, [role]: Buffer.from(content).toString("base64") };
        await writeFile(kept(), JSON.stringify({ ...trusted, files }));
        assert.equal(codeOf(await rig.check(wanted, { floors })), "found", `${role} ${content}`);
      }
    }
  });

  test("without a change it stays as it is, and only the timestamp is asked for", async () => {
    await rig.check(wanted);
    rig.server.paths();
    const { ino } = await stat(kept());
    await rig.check(wanted);
    assert.equal((await stat(kept())).ino, ino, "the file is not written again");
    assert.deepEqual(
      rig.server.paths().map((path) =>
        path
          .split("/")
          .at(-1)
          ?.replace(/^[0-9a-f]{64}\./, ""),
      ),
      ["2.root.json", "timestamp.json", "pack.json"],
    );
  });

  test("a full disk: no update, and the next check is as good as ever", async () => {
    await mkdir(rig.stateDirectory, { recursive: true });
    await symlink("/dev/full", `${kept()}.new`);
    const checked = await rig.check(wanted);
    assert.equal(codeOf(checked), "metadata_unwritable");
    assert.match(checked.outcome.kind === "refused" ? checked.outcome.fault.message : "", /ENOSPC/);
    await rm(`${kept()}.new`);
    assert.equal(codeOf(await rig.check(wanted)), "found");
  });

  test("a pinned root that is missing or no root is named", async () => {
    const pinned = rig.repository.pinnedRoot;
    const content = await readFile(pinned);
    try {
      for (const bytes of [Buffer.alloc(0), Buffer.from("{}"), content.subarray(0, 99)]) {
        await writeFile(pinned, bytes);
        assert.equal(codeOf(await rig.check(wanted)), "tuf_root_unreadable");
      }
      await rm(pinned);
      assert.equal(codeOf(await rig.check(wanted)), "tuf_root_unreadable");
    } finally {
      await writeFile(pinned, content);
    }
  });

  test("another pinned root begins anew: what went before belongs to another publisher", async () => {
    const other = await Rig.make();
    try {
      const theirs = (await other.repository.release({ id: "door" })).wanted;
      const { floors } = await rig.check(wanted);
      await mkdir(other.stateDirectory, { recursive: true });
      await writeFile(join(other.stateDirectory, "trusted.json"), await readFile(kept()));
      const raised = floors === undefined ? undefined : { ...floors, timestamp: 99, root: 99 };
      const checked = await other.check(theirs, { floors: raised });
      assert.equal(codeOf(checked), "found");
      assert.notEqual(checked.floors?.anchor, floors?.anchor);
    } finally {
      await other[Symbol.asyncDispose]();
    }
  });
});

describe("keys that change", () => {
  let rig: Rig;
  let wanted: WantedPack;
  before(async () => {
    rig = await Rig.make();
    wanted = (await rig.repository.release({ id: "door" })).wanted;
  });
  after(() => rig[Symbol.asyncDispose]());

  test("a device follows from root to root, also from the very first one", async () => {
    const { floors } = await rig.check(wanted);
    await rig.repository.rotate("root-1", "root-4");
    await rig.repository.publish();
    await rig.repository.rotate("root-2", "root-5");
    await rig.repository.publish();
    await rig.repository.rotate("targets-1", "targets-3");
    await renew(rig.repository.workspace, "targets", rig.repository.means);
    await rig.repository.publish();
    const checked = await rig.check(wanted, { floors });
    assert.equal(codeOf(checked), "found");
    assert.equal(checked.floors?.root, 4);
    await rig.forget();
    assert.equal((await rig.check(wanted, { floors: checked.floors })).floors?.root, 4);
  });

  test("a new root that is held back after it was seen is a rollback", async () => {
    await rig.repository.rotate("root-4", "root-6");
    await rig.repository.publish();
    const { floors } = await rig.check(wanted);
    await rig.forget();
    rig.server.mischief = (path) =>
      path.endsWith(`${floors?.root}.root.json`) ? { kind: "status", status: 404 } : undefined;
    const code = codeOf(await rig.check(wanted, { floors }));
    rig.server.mischief = () => undefined;
    assert.equal(code, "tuf_rollback");
  });

  test("numbers that a stolen online key has driven up end with that key", async () => {
    const { workspace, means } = rig.repository;
    const { publicKey, sign } = await signerNamed(workspace, "online", means);
    const metadata = join(workspace.repository, "metadata");
    const now = JSON.parse(await readFile(join(metadata, "timestamp.json"), "utf8"));
    const { version } = now.signed.meta["snapshot.json"];
    const snapshot = await readFile(join(metadata, `${version}.snapshot.json`));
    const life = { version: 1_000_000, expiresMs: Date.now() + 3_600_000 };
    const stolen = newTimestamp(life, Date.now(), version, snapshot);
    addSignature(stolen, publicKey, sign);
    rig.server.mischief = (path) =>
      path.endsWith("timestamp.json") ? { kind: "instead", content: bytesOf(stolen) } : undefined;
    const { floors } = await rig.check(wanted);
    assert.equal(floors?.timestamp, 1_000_000);
    rig.server.mischief = () => undefined;
    assert.equal(codeOf(await rig.check(wanted, { floors })), "tuf_rollback");
    await rig.repository.rotate("online", "online-2");
    await rig.repository.publish();
    const checked = await rig.check(wanted, { floors });
    assert.equal(codeOf(checked), "found");
    assert.ok(Number(checked.floors?.timestamp) < 1000);
  });
});
