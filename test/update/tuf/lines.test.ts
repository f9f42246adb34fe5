/** Lines to a repository: which are allowed, whom they trust, and how a check on one is stopped. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { epochMs } from "../../../src/lib/brand.ts";
import { RepositoryOptions } from "../../../src/update/tuf/options.ts";
import type { WantedPack } from "../../../src/update/tuf/source.ts";
import { makeCertificates } from "../../support/broker.ts";
import { within } from "../../support/waiting.ts";
import { codeOf, never, Rig } from "./rig.ts";

describe("lines to a repository", () => {
  let rig: Rig;
  let wanted: WantedPack;
  before(async () => {
    rig = await Rig.make();
    wanted = (await rig.repository.release({ id: "door" })).wanted;
  });
  after(() => rig[Symbol.asyncDispose]());

  test("plain HTTP leaves this machine only when the site says so; credentials are no part of a URL", () => {
    const accepts = (options: object): boolean => RepositoryOptions.safeParse(options).success;
    assert.ok(accepts({ url: "https://releases.example/door" }));
    assert.ok(accepts({ url: "file:///media/usb/releases" }));
    assert.ok(accepts({ url: "http://127.0.0.1:8080" }));
    assert.ok(accepts({ url: "http://[::1]/" }));
    assert.ok(!accepts({ url: "http://releases.example" }));
    assert.ok(accepts({ url: "http://releases.example", insecureHttp: true }));
    assert.ok(!accepts({ url: "http://127.0.0.1.releases.example" }));
    assert.ok(!accepts({ url: "https://user:secret@releases.example" }));
    assert.ok(!accepts({ url: "ftp://releases.example" }));
    assert.ok(!accepts({ url: "releases.example" }));
  });

  test("https: the server is who the authority says, or nothing is asked", async () => {
    const directory = await mkdtemp(join(tmpdir(), "ostiary-tls-"));
    const { caFile, certFile, keyFile } = await makeCertificates(directory);
    const asked: string[] = [];
    const server = createServer(
      { cert: readFileSync(certFile), key: readFileSync(keyFile) },
      (request, response) => {
        asked.push(request.url ?? "");
        try {
          response.end(readFileSync(join(rig.repository.workspace.repository, request.url ?? "")));
        } catch {
          response.writeHead(404).end();
        }
      },
    );
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    try {
      const stranger = await rig.check(wanted, { options: { url, attempts: 1 } });
      assert.equal(codeOf(stranger), "fetch_failed");
      assert.match(
        stranger.outcome.kind === "refused" ? stranger.outcome.fault.message : "",
        /not who it should be/,
      );
      assert.deepEqual(asked, []);
      assert.equal(codeOf(await rig.check(wanted, { options: { url, caFile } })), "found");
    } finally {
      server.closeAllConnections();
      server.close();
      await rm(directory, { recursive: true, force: true });
    }
  });

  test("a stick: the same repository as files", async () => {
    assert.equal(
      codeOf(await rig.check(wanted, { options: { url: rig.repository.url } })),
      "found",
    );
  });

  test("a missing credential is named", async () => {
    const options = { authorizationFile: "/nowhere/token" };
    assert.equal(codeOf(await rig.check(wanted, { options })), "credential_unreadable");
  });

  test("the child answers, and ends when it is told to", async () => {
    const releases = rig.releases({ idleMs: 60_000 });
    const stop = new AbortController();
    rig.server.mischief = (path) => {
      if (!path.endsWith("timestamp.json")) return undefined;
      setImmediate(() => stop.abort(new Error("enough")));
      return { kind: "stall", after: 3 };
    };
    const checking = releases.check(wanted, undefined, epochMs(Date.now()), stop.signal);
    await within(assert.rejects(checking, { message: "enough" }), "the end of a stopped check");
    rig.server.mischief = () => undefined;
    const checked = await releases.check(wanted, undefined, epochMs(Date.now()), never);
    assert.equal(codeOf(checked), "found");
    assert.ok(checked.outcome.kind === "found" && checked.outcome.packJson.byteLength > 100);
  });

  test("a wish on the repository is fetched as it is; where there is none, none", async () => {
    const releases = rig.releases();
    assert.equal(await releases.fetchDesired("lab/one", never), undefined);
    rig.server.mischief = (path) =>
      path === "/desired/lab/one.json"
        ? { kind: "instead", content: Buffer.from("signed words") }
        : undefined;
    assert.equal(await releases.fetchDesired("lab/one", never), "signed words");
    rig.server.mischief = () => ({ kind: "endless" });
    await assert.rejects(releases.fetchDesired("lab/one", never), { code: "too_large" });
    rig.server.mischief = () => undefined;
  });
});
