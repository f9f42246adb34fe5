/** What the publisher writes: never half, never unsigned, and as any TUF client reads it. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { appendFile, cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { copyDurably } from "../../scripts/release/files.ts";
import { addPack, delistPack } from "../../scripts/release/packs.ts";
import { prune } from "../../scripts/release/prune.ts";
import { publishMetadata } from "../../scripts/release/publication.ts";
import { renew, signDrafts } from "../../scripts/release/sign.ts";
import { statusOf } from "../../scripts/release/status.ts";
import { lock } from "../../scripts/release/workspace.ts";
import { epochMs } from "../../src/lib/brand.ts";
import { PackIdSchema } from "../../src/lib/id.ts";
import { targetPathOf } from "../../src/release/repository.ts";
import { createClock } from "../../src/system/clock.ts";
import { runCheck } from "../../src/update/tuf/check.ts";
import { RepositoryOptions } from "../../src/update/tuf/options.ts";
import { makeNoisePack, TestRepository } from "../support/release.ts";
import { ReleaseServer } from "../support/release-server.ts";

const run = promisify(execFile);
const ROOT = resolve(import.meta.dirname, "../..");
const PYTHON = join(ROOT, ".venv/bin/python");
const DAY_MS = 86_400_000;
const never = new AbortController().signal;

async function scratch(t: { after: (run: () => Promise<void>) => void }): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "ostiary-release-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** Paths and contents of a directory. */
async function contentsOf(directory: string): Promise<ReadonlyMap<string, string>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return new Map(
    await Promise.all(
      files.map(async (entry) => {
        const path = join(entry.parentPath, entry.name);
        return [path, (await readFile(path)).toString("base64")] as const;
      }),
    ),
  );
}

test("nothing is published with too few signatures, and nothing in the repository changes", async (t) => {
  const made = await TestRepository.make(await scratch(t));
  const { workspace, means } = made;
  await made.add({ id: "door" });
  const before = await contentsOf(workspace.repository);
  await assert.rejects(publishMetadata(workspace, means, never), {
    code: "threshold_missing",
    message: /0 of 2 signatures.*targets-1 or targets-2/,
  });
  const [draft] = await signDrafts(workspace, ["targets-1"], means);
  assert.deepEqual([draft?.isComplete, draft?.missing], [false, ["targets-2"]]);
  assert.match(draft?.changes.join() ?? "", /^adds door, counter 1, [0-9a-f]{64}$/);
  await assert.rejects(publishMetadata(workspace, means, never), { code: "threshold_missing" });
  assert.deepEqual(await contentsOf(workspace.repository), before);
  await signDrafts(workspace, ["targets-2"], means);
  await publishMetadata(workspace, means, never);
});

test("the timestamp is switched last, and content before names", async (t) => {
  const made = await TestRepository.make(await scratch(t));
  await made.add({ id: "door" });
  const { files } = await made.publish();
  assert.deepEqual(
    files.map((path) => path.replace(/[0-9a-f]{64}/, "HASH")),
    [
      "blobs/HASH",
      "blobs/HASH",
      "targets/packs/door/HASH.pack.json",
      "metadata/2.targets.json",
      "metadata/2.snapshot.json",
      "metadata/timestamp.json",
    ],
  );
});

test("every moment of a switch is the old repository or the new one", async (t) => {
  const directory = await scratch(t);
  const made = await TestRepository.make(directory);
  const first = await made.release({ id: "door", releaseCounter: 1 });
  const between = join(directory, "between");
  await cp(made.workspace.repository, between, { recursive: true });
  const second = await made.add({ id: "door", releaseCounter: 2 });
  const { files } = await made.publish();
  const check = async (wanted: typeof first.wanted): Promise<string> => {
    const { outcome } = await runCheck(
      {
        options: RepositoryOptions.parse({ url: `${pathToFileURL(between).href}/` }),
        pinnedRoot: made.pinnedRoot,
        stateDirectory: join(directory, "device"),
        runtime: { hardware: "x64", version: "0.1.0" },
        wanted,
        now: epochMs(Date.now()),
      },
      createClock(),
      never,
    );
    return outcome.kind === "found" ? "found" : outcome.fault.code;
  };
  for (const path of files) {
    assert.equal(await check(first.wanted), "found", `before ${path}`);
    await copyDurably(join(made.workspace.repository, path), join(between, path));
  }
  assert.equal(await check(first.wanted), "target_disagrees");
  assert.equal(await check(second.wanted), "found");
});

test("pruning leaves what a client of this or the last list may still ask for", async (t) => {
  const made = await TestRepository.make(await scratch(t));
  const { repository } = made.workspace;
  const packs = async (): Promise<number> =>
    (await readdir(join(repository, "targets/packs/door"))).length;
  for (const releaseCounter of [1, 2, 3]) await made.release({ id: "door", releaseCounter });
  await writeFile(join(repository, "blobs", "README"), "somebody else's");
  assert.equal(await packs(), 3);
  const removed = await prune(repository);
  assert.deepEqual(
    removed.map((path) => path.split("/")[0]),
    ["targets", "blobs"],
  );
  assert.equal(await packs(), 2);
  assert.deepEqual(await prune(repository), []);
  await publishMetadata(made.workspace, made.means, never);
});

test("a crash before the switch changes nothing for clients; the same command finishes", async (t) => {
  const made = await TestRepository.make(await scratch(t));
  const { workspace, means } = made;
  const { wanted } = await made.add({ id: "door" });
  await signDrafts(workspace, [], means);
  const drafts = join(workspace.directory, "kept");
  await cp(workspace.next, drafts, { recursive: true });
  const timestamp = await readFile(join(workspace.repository, "metadata/timestamp.json"));
  await publishMetadata(workspace, means, never);
  // As a crash leaves it: everything is there but the timestamp, and the drafts are too.
  await writeFile(join(workspace.repository, "metadata/timestamp.json"), timestamp);
  await cp(drafts, workspace.next, { recursive: true });
  assert.deepEqual((await statusOf(workspace, means)).packs, []);
  await publishMetadata(workspace, means, never);
  const { packs, drafts: left } = await statusOf(workspace, means);
  assert.deepEqual([packs.map(({ sha256 }) => sha256), left], [[wanted.sha256], []]);
});

test("what a device would refuse is not published: a blob that changed or went", async (t) => {
  const made = await TestRepository.make(await scratch(t));
  const { workspace, means } = made;
  await made.add({ id: "door" });
  await signDrafts(workspace, [], means);
  const blobs = join(workspace.next, "blobs");
  const [name = ""] = await readdir(blobs);
  const content = await readFile(join(blobs, name));
  const before = await contentsOf(workspace.repository);
  await appendFile(join(blobs, name), "x");
  await assert.rejects(publishMetadata(workspace, means, never), { code: "staging_refused" });
  await rm(join(blobs, name));
  await assert.rejects(publishMetadata(workspace, means, never), { code: "staging_refused" });
  assert.deepEqual(await contentsOf(workspace.repository), before);
  await writeFile(join(blobs, name), content);
  await publishMetadata(workspace, means, never);
});

test("a replaced and a delisted pack stay where clients of the last minute look for them", async (t) => {
  const made = await TestRepository.make(await scratch(t));
  const { workspace, means } = made;
  await made.release({ id: "door", releaseCounter: 1 });
  const before = await contentsOf(workspace.repository);
  await made.release({ id: "door", releaseCounter: 2 });
  await delistPack(workspace, PackIdSchema.parse("door"), means);
  await made.publish();
  assert.deepEqual((await statusOf(workspace, means)).packs, []);
  for (const [path, content] of before) {
    if (path.endsWith("timestamp.json")) continue;
    assert.equal((await readFile(path)).toString("base64"), content, path);
  }
});

test("a pack is listed only when it is whole, calibrated, newer, and its models do what it says", async (t) => {
  const directory = await scratch(t);
  const { workspace, means } = await TestRepository.make(directory);
  const fine = async (): Promise<void> => {};
  const add = (path: string, tryPack = fine): Promise<unknown> =>
    addPack(workspace, path, ["x64"], tryPack, means);
  const plain = await makeNoisePack(directory, { id: "plain", calibrated: false });
  await assert.rejects(add(plain), { code: "pack_uncalibrated" });
  const torn = await makeNoisePack(directory, { id: "torn" });
  await writeFile(join(torn, "embedder.onnx"), "torn");
  await assert.rejects(add(torn), { code: "pack_corrupt" });
  const bad = await makeNoisePack(directory, { id: "bad" });
  await assert.rejects(
    add(bad, () => Promise.reject(Object.assign(new Error("no"), { code: "golden_mismatch" }))),
    { code: "golden_mismatch" },
  );
  const good = await makeNoisePack(directory, { id: "good", releaseCounter: 3 });
  await add(good);
  await add(good);
  const stale = await makeNoisePack(join(directory, "again"), { id: "good", releaseCounter: 3 });
  await assert.rejects(add(stale), { code: "pack_stale" });
  assert.ok(!existsSync(join(workspace.next, "targets/packs/bad")));
});

test("dates: status warns, publish renews what is online and refuses what is not", async (t) => {
  let ms = Date.now();
  const made = await TestRepository.make(await scratch(t), { now: () => ms });
  const { workspace, means } = made;
  const states = async (): Promise<string> =>
    (await statusOf(workspace, means)).roles
      .map(({ role, state }) => `${role} ${state}`)
      .join(", ");
  assert.equal(await states(), "root good, targets good, snapshot good, timestamp good");
  ms += 2.5 * DAY_MS;
  assert.match(await states(), /snapshot good, timestamp soon/);
  const first = await publishMetadata(workspace, means, never);
  assert.deepEqual(
    [first.snapshot, first.timestamp, first.files],
    [1, 2, ["metadata/timestamp.json"]],
  );
  ms += 8 * DAY_MS;
  assert.match(await states(), /snapshot soon, timestamp expired/);
  const second = await publishMetadata(workspace, means, never);
  assert.deepEqual([second.snapshot, second.timestamp], [2, 3]);
  ms += 80 * DAY_MS;
  assert.match(await states(), /root good, targets expired/);
  await assert.rejects(publishMetadata(workspace, means, never), {
    code: "metadata_expired",
    message: /sign --renew targets/,
  });
  await renew(workspace, "targets", means);
  await made.publish();
  assert.equal(await states(), "root good, targets good, snapshot good, timestamp good");
});

test("one command at a time", async (t) => {
  const { workspace } = await TestRepository.make(await scratch(t), { publish: false });
  using _held = await lock(workspace);
  await assert.rejects(lock(workspace), { code: "workspace_locked" });
});

test("one key is enough where one person signs, and root and director are still two", async (t) => {
  const made = await TestRepository.make(await scratch(t), { singleKey: true });
  await made.release({ id: "door" });
  const { keys, director } = made.workspace.settings;
  assert.deepEqual(Object.keys(keys).sort(), ["director", "online", "release"]);
  assert.equal(director, "director");
});

describe("python-tuf", () => {
  let directory: string;
  let made: TestRepository;
  let server: ReleaseServer;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "ostiary-release-"));
    made = await TestRepository.make(directory);
    server = await ReleaseServer.start(made.workspace.repository);
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await rm(directory, { recursive: true, force: true });
  });

  /** A client that keeps its metadata from call to call. */
  async function ask(path: string, client = "client"): Promise<Record<string, unknown>> {
    const { stdout } = await run(PYTHON, [
      join(import.meta.dirname, "ngclient.py"),
      made.pinnedRoot,
      join(directory, client),
      `${server.url}metadata/`,
      `${server.url}targets/`,
      path,
    ]);
    return JSON.parse(stdout);
  }

  test("accepts what we publish, before and after every kind of key was rotated", async () => {
    const { custom, directory: pack, path } = await made.release({ id: "door" });
    const first = await ask(path);
    assert.deepEqual(first["custom"], custom);
    assert.equal(first["content"], await readFile(join(pack, "pack.json"), "utf8"));
    assert.deepEqual(first["versions"], { root: 1, timestamp: 2, snapshot: 2, targets: 2 });
    await made.rotate("root-1", "root-4");
    await made.publish();
    await made.rotate("online", "online-2");
    await made.publish();
    await made.rotate("targets-2", "targets-3");
    await assert.rejects(made.publish(), { code: "threshold_missing", message: /--renew targets/ });
    await renew(made.workspace, "targets", made.means);
    await made.publish();
    for (const client of ["client", "new-client"]) {
      const rotated = await ask(path, client);
      assert.deepEqual(rotated["custom"], custom);
      assert.deepEqual(rotated["versions"], { root: 4, timestamp: 5, snapshot: 4, targets: 3 });
    }
    await delistPack(made.workspace, custom.packId, made.means);
    await made.publish();
    assert.equal((await ask(path))["content"], null);
  });

  test("refuses what our client refuses: an old copy", async () => {
    const old = join(directory, "old");
    await cp(made.workspace.repository, old, { recursive: true });
    await made.release({ id: "other" });
    const path = targetPathOf(PackIdSchema.parse("other"));
    await ask(path);
    server.root = old;
    await assert.rejects(ask(path), { stderr: /BadVersionNumberError/ });
  });
});

test("a root that is rotated needs the old keys and the new ones", async (t) => {
  const made = await TestRepository.make(await scratch(t));
  const { means } = made;
  await made.rotate("root-1", "root-4");
  await made.rotate("root-2", "root-5");
  const { workspace } = made;
  await signDrafts(workspace, ["root-4", "root-5"], means);
  await assert.rejects(publishMetadata(workspace, means, never), {
    code: "threshold_missing",
    message: /root has 0 of 2 signatures/,
  });
  await signDrafts(workspace, ["root-1", "root-3"], means);
  assert.equal((await publishMetadata(workspace, means, never)).root, 2);
});
