/** One large file over a bad line: it arrives whole and genuine, or not at all. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, stat, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { createClock } from "../../../src/system/clock.ts";
import { RepositoryOptions } from "../../../src/update/tuf/options.ts";
import { Releases } from "../../../src/update/tuf/releases.ts";
import { RecordingLog } from "../../support/log.ts";
import { ReleaseServer } from "../../support/release-server.ts";
import { never } from "./rig.ts";

const BYTES = 1_500_000;

describe("fetching a blob", () => {
  let directory: string;
  let server: ReleaseServer;
  let content: Buffer;
  let blob: { sha256: string; bytes: number };
  let into: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "ostiary-blob-"));
    content = randomBytes(BYTES);
    blob = { sha256: createHash("sha256").update(content).digest("hex"), bytes: BYTES };
    into = join(directory, "staged", "embedder.onnx");
    await mkdir(join(directory, "repository", "blobs"), { recursive: true });
    await mkdir(join(directory, "staged"));
    await writeFile(join(directory, "repository", "blobs", blob.sha256), content);
    server = await ReleaseServer.start(join(directory, "repository"));
  });
  afterEach(async () => {
    server.mischief = () => undefined;
    server.asked.splice(0);
    await rm(into, { force: true });
    await rm(`${into}.part`, { force: true });
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await rm(directory, { recursive: true, force: true });
  });

  function releases(options: Record<string, unknown> = {}): Releases {
    const repository = RepositoryOptions.parse({
      url: server.url,
      idleMs: 400,
      rateWindowMs: 200,
      attempts: 3,
      diskReserveBytes: 0,
      ...options,
    });
    return new Releases(
      {
        repository,
        pinnedRoot: "",
        stateDirectory: directory,
        runtime: { hardware: "x64", version: "0.1.0" },
      },
      { clock: createClock(), log: new RecordingLog() },
    );
  }
  const fetch = (options: Record<string, unknown> = {}, signal = never): Promise<void> =>
    releases(options).fetchBlob(blob, into, () => {}, signal);
  const part = (): Promise<number> => stat(`${into}.part`).then(({ size }) => size);

  test("arrives whole, says how far it is, and is not fetched twice", async () => {
    const progress: number[] = [];
    await releases().fetchBlob(blob, into, (received) => progress.push(received), never);
    assert.ok((await readFile(into)).equals(content));
    assert.equal(progress.at(-1), BYTES);
    assert.deepEqual(
      progress,
      progress.toSorted((a, b) => a - b),
    );
    assert.ok(!existsSync(`${into}.part`));
    server.asked.splice(0);
    await fetch();
    assert.deepEqual(server.paths(), []);
  });

  test("from a directory, as on a stick", async () => {
    await fetch({ url: `${pathToFileURL(join(directory, "repository")).href}` });
    assert.ok((await readFile(into)).equals(content));
  });

  test("a line that breaks three times: each time it goes on from where it was", async () => {
    server.mischief = (_, asked) =>
      asked.length <= 3 ? { kind: "cut", after: 300_000 } : undefined;
    await fetch();
    assert.ok((await readFile(into)).equals(content));
    const froms = server.asked.map(({ range }) => Number(/\d+/.exec(range ?? "0")?.[0]));
    assert.equal(froms.length, 4);
    assert.ok(
      froms.every((from, i) => i === 0 || from > (froms[i - 1] ?? 0)),
      String(froms),
    );
  });

  test("given up and begun again in another process: what is there is not fetched again", async () => {
    server.mischief = () => ({ kind: "cut", after: 600_000 });
    await assert.rejects(fetch({ attempts: 1 }), { code: "fetch_failed" });
    const kept = await part();
    assert.ok(kept > 0 && kept <= 600_000);
    server.mischief = () => undefined;
    server.asked.splice(0);
    await fetch();
    assert.equal(server.asked[0]?.range, `bytes=${kept}-`);
    assert.ok((await readFile(into)).equals(content));
  });

  test("a server that ignores ranges: from the beginning, and right", async () => {
    await writeFile(`${into}.part`, content.subarray(0, 700_000));
    server.mischief = () => ({ kind: "ignore-range" });
    await fetch();
    assert.ok((await readFile(into)).equals(content));
  });

  test("a part that a power cut filled with zeros: once more from the beginning", async () => {
    await writeFile(`${into}.part`, content.subarray(0, 100_000));
    await truncate(`${into}.part`, 400_000);
    await fetch();
    assert.ok((await readFile(into)).equals(content));
    assert.deepEqual(
      server.asked.map(({ range }) => range),
      ["bytes=400000-", undefined],
    );
  });

  test("a part that is too long", async () => {
    await writeFile(`${into}.part`, Buffer.concat([content, content]));
    await fetch();
    assert.ok((await readFile(into)).equals(content));
  });

  test("one flipped bit: refused, and nothing of it is kept", async () => {
    server.mischief = () => ({ kind: "flip", at: BYTES - 1 });
    await assert.rejects(fetch(), { code: "tuf_hash" });
    assert.ok(!existsSync(into) && !existsSync(`${into}.part`));
  });

  test("endless: ended at the signed length", async () => {
    server.mischief = () => ({ kind: "endless" });
    await assert.rejects(fetch(), { code: "too_large" });
    assert.ok((await part()) <= BYTES);
  });

  test("stalled: given up; what came is kept", async () => {
    server.mischief = () => ({ kind: "stall", after: 200_000 });
    await assert.rejects(fetch({ attempts: 1 }), { code: "fetch_timeout" });
    assert.equal(await part(), 200_000);
  });

  test("dripping: given up; what came is kept", async () => {
    server.mischief = () => ({ kind: "drip", bytes: 300_000, everyMs: 10 });
    await assert.rejects(fetch(), { code: "fetch_slow" });
    assert.ok((await part()) >= 300_000);
    server.mischief = () => undefined;
    await fetch();
    assert.ok((await readFile(into)).equals(content));
  });

  test("not there, or the server is ill", async () => {
    server.mischief = () => ({ kind: "status", status: 404 });
    await assert.rejects(fetch(), { code: "fetch_refused", message: /404/ });
    assert.equal(server.asked.length, 1, "asked once: it will not come by itself");
    server.asked.splice(0);
    server.mischief = (_, asked) =>
      asked.length === 1 ? { kind: "status", status: 503 } : undefined;
    await fetch();
  });

  test("a full disk, and a disk that will be", async () => {
    await symlink("/dev/full", `${into}.part`);
    await assert.rejects(fetch(), { code: "low_disk" });
    await rm(`${into}.part`);
    await assert.rejects(fetch({ diskReserveBytes: 2 ** 40 }), { code: "low_disk" });
    assert.deepEqual(server.asked.length, 1);
  });

  test("stopped: at once, and goes on later", async () => {
    server.mischief = () => ({ kind: "stall", after: 400_000 });
    const stop = new AbortController();
    const fetching = releases({ idleMs: 30_000 }).fetchBlob(
      blob,
      into,
      (received) => {
        if (received >= 400_000) stop.abort(new Error("enough"));
      },
      stop.signal,
    );
    await assert.rejects(fetching, { message: "enough" });
    assert.equal(await part(), 400_000);
  });

  test("credentials go to the repository and nowhere else; redirects do not weaken the line", async () => {
    await using elsewhere = await ReleaseServer.start(join(directory, "repository"));
    await writeFile(join(directory, "token"), "Bearer secret\n");
    server.mischief = (path) => ({ kind: "redirect", to: new URL(path, elsewhere.url).href });
    await fetch({ authorizationFile: join(directory, "token") });
    assert.equal(server.asked[0]?.authorization, "Bearer secret");
    assert.equal(elsewhere.asked[0]?.authorization, undefined);
    await rm(into);
    server.mischief = () => ({
      kind: "redirect",
      to: "http://releases.example/blobs/x?token=secret",
    });
    await assert.rejects(fetch(), { code: "insecure_redirect", message: /^(?!.*secret)/ });
    server.mischief = (path) => ({ kind: "redirect", to: path });
    await assert.rejects(fetch({ attempts: 1 }), { code: "fetch_failed", message: /redirected/ });
  });
});
