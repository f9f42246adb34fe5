/** The daemon as a service: readiness, watchdog, reload, lock, command line, a broker that comes late, a clean stop. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Daemon } from "../support/daemon.ts";
import { withoutModels } from "../support/models.ts";
import { MIDDLE, stillOf, THREE_PEOPLE, visitClip } from "../support/people.ts";
import { GROUP, PATIENT, reasons, type Site, said, startSite } from "../support/site.ts";
import { monotonicNow, until } from "../support/tap.ts";
import { within } from "../support/waiting.ts";

const skip = withoutModels();
if (skip !== false) console.error(skip);

const WAIT_MS = 45_000;
const WATCHDOG_MS = 2000;
/** Open at no time of the week. */
const CLOSED = { timeZone: "UTC", weekly: {} };

describe("the daemon as a service", { skip, concurrency: 1 }, () => {
  let systemd: Systemd;
  let site: Site;
  let visit: string;

  before(async () => {
    visit = await visitClip(THREE_PEOPLE);
    systemd = await Systemd.open();
    site = await startSite({
      cameras: [{ id: "front" }, { id: "back" }],
      env: { NOTIFY_SOCKET: systemd.path, WATCHDOG_USEC: String(WATCHDOG_MS * 1000) },
      config: { decision: { ...PATIENT, coolDownMs: 1000 } },
    });
  });
  after(async () => {
    await site?.[Symbol.asyncDispose]();
    systemd?.[Symbol.dispose]();
  });

  test("ready once it runs, and the watchdog is fed", async () => {
    await until(
      () => systemd.count("READY=1") === 1,
      "READY=1",
      WAIT_MS,
      () => systemd.said.join("\n"),
    );
    assert.equal(systemd.said.indexOf("READY=1"), 0, "nothing is said before");
    const fed = systemd.count("WATCHDOG=1");
    await until(
      () => systemd.count("WATCHDOG=1") >= fed + 3,
      "WATCHDOG=1 three times",
      10 * WATCHDOG_MS,
      () => systemd.said.join("\n"),
    );
    assert.deepEqual((await site.status())["failingChecks"], []);
  });

  test("a second daemon on the same state refuses, and the first runs on", async () => {
    const second = new Daemon(site.configFile);
    const { code } = await second.ended();
    assert.equal(code, 3, second.tail);
    assert.match(second.output, /store_locked|in use/, second.tail);
    await site.status();
  });

  test("SIGHUP: a closed door is closed, a new camera is watched, the others run on", async () => {
    await site.done("identity/put", { id: "bald-man", displayName: "Bald Man", groups: [GROUP] });
    await site.done("enrolment/add-image", {
      id: "bald-man",
      image: (await stillOf(THREE_PEOPLE, 3, MIDDLE)).toString("base64"),
    });
    const before = await site.visit("front", visit, (all) =>
      all.some(({ outcome }) => outcome === "grant"),
    );
    assert.deepEqual(
      before.filter(({ outcome }) => outcome === "grant").map(({ identity }) => identity),
      ["bald-man"],
      said(before),
    );
    const decoders = site.daemon.decoderPids;
    const { cameras, access } = site.config as {
      cameras: { id: string }[];
      access: { doors: { id: string }[] };
    };
    const reloaded = monotonicNow();
    await site.configure({
      cameras: [...cameras, { ...cameras[1], id: "side" }],
      access: {
        ...access,
        schedules: { never: CLOSED },
        doors: access.doors.map((door) =>
          door.id === "front-door" ? { ...door, allow: { [GROUP]: ["never"] } } : door,
        ),
      },
    });
    site.daemon.signal("SIGHUP");
    await site.cameraIs("side", "online", reloaded, WAIT_MS);
    await until(
      () => systemd.count("RELOADING=1") === 1 && systemd.count("READY=1") === 2,
      "RELOADING, then READY again",
      WAIT_MS,
      () => systemd.said.join("\n"),
    );
    assert.deepEqual(
      decoders.filter((pid) => !site.daemon.decoderPids.includes(pid)),
      [],
      "the other decoders are the same",
    );
    const after = await site.visit(
      "front",
      visit,
      (all) => reasons(all, "outside_schedule").length > 0,
    );
    assert(
      after.every(({ outcome }) => outcome === "deny"),
      said(after),
    );
    assert.deepEqual(reasons(after, "outside_schedule")[0]?.identity, "bald-man");
  });

  test("SIGHUP with a file that is not valid changes nothing", async () => {
    const good = site.config["access"];
    await site.configure({ access: { doors: "all of them" } });
    site.daemon.signal("SIGHUP");
    await until(
      () => systemd.count("RELOADING=1") === 2 && systemd.count("READY=1") === 3,
      "READY again",
      WAIT_MS,
      () => systemd.said.join("\n"),
    );
    assert(
      systemd.said.some((line) => line.startsWith("STATUS=running on the configuration before")),
      systemd.said.join("\n"),
    );
    const decisions = await site.visit(
      "front",
      visit,
      (all) => reasons(all, "outside_schedule").length > 0,
    );
    assert(
      decisions.every(({ outcome }) => outcome === "deny"),
      said(decisions),
    );
    await site.configure({ access: good });
  });

  test("the command line speaks to the running daemon: an erase by CLI is an erase by command", async () => {
    const listed = await site.cli("identities", "list", "--json");
    assert.equal(listed.code, 0, listed.err);
    assert.deepEqual(
      JSON.parse(listed.out).identities.map(({ id }: { id: string }) => id),
      ["bald-man"],
    );
    const from = monotonicNow();
    const erased = await site.cli("erase", "bald-man");
    assert.equal(erased.code, 0, erased.err);
    const event = await site.eventually(
      () => site.events(from).find(({ type }) => type === "identity_erased"),
      "its event",
      WAIT_MS,
    );
    assert.equal(event.body["identity"], "bald-man");
    assert.equal(event.body["actor"], "local");
    assert.equal(await site.refused("identity/get", { id: "bald-man" }), "unknown_identity");
    const again = await site.cli("erase", "bald-man", "--json");
    assert.equal(again.code, 3);
    assert.equal(JSON.parse(again.out).error.code, "unknown_identity");
    const decisions = await site.visit(
      "front",
      visit,
      (all) => reasons(all, "unknown").length >= 3,
    );
    assert(
      decisions.every(({ identity }) => identity === undefined),
      said(decisions),
    );
  });

  test("SIGTERM: it says so, goes offline on the broker, and leaves with 0 in time", async () => {
    const from = monotonicNow();
    await site.stop();
    assert.equal(systemd.count("STOPPING=1"), 1);
    await until(() => site.presence(from) === "offline", "offline is said", WAIT_MS);
  });

  test("a broker that is not there at the start: it decides all the same, and tells later", async () => {
    await site.broker.stop();
    await site.start({ waitForBroker: false });
    await until(
      () => systemd.count("READY=1") === 4,
      "ready without a broker",
      WAIT_MS,
      () => systemd.said.join("\n"),
    );
    await site.eventually(
      () => site.daemon.log.some((line) => line["cameraId"] === "front" && line["to"] === "online"),
      "the camera is online",
      WAIT_MS,
    );
    await site.camera("front").play(visit);
    const lines = await site.eventually(
      () => {
        const all = site.daemon.log.filter((line) => line["message"] === "decided");
        return all.length >= 3 && all;
      },
      "decisions without a broker",
      WAIT_MS,
    );
    const back = monotonicNow();
    await site.broker.start();
    const ids = lines.map((line) => line["decisionId"]);
    await site.eventually(() => site.presence(back) === "online", "the device is back", WAIT_MS);
    await site.connectCommands();
    // The first ones may have been told before anybody listened: the history says them again.
    await site.done("event/replay", { fromSeq: 1 });
    await site.eventually(
      () => ids.every((id) => site.events().some(({ body }) => body["id"] === id)),
      "their events",
      WAIT_MS,
    );
    await site.stop();
  });
});

/** Systemd's end of the notification socket: a datagram socket of the Unix kind, which Node has not. */
class Systemd implements Disposable {
  readonly path: string;
  /** Lines in order. */
  readonly said: string[] = [];
  readonly #directory: string;
  readonly #child: ChildProcess;

  private constructor(directory: string, path: string, child: ChildProcess) {
    this.#directory = directory;
    this.path = path;
    this.#child = child;
  }

  static async open(): Promise<Systemd> {
    const directory = mkdtempSync(join(tmpdir(), "ostiary-notify-"));
    const path = join(directory, "notify");
    const script = [
      "import socket, sys",
      "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)",
      "s.bind(sys.argv[1])",
      "print('bound', flush=True)",
      "while True: print(s.recv(65536).decode(), flush=True)",
    ].join("\n");
    const child = spawn("/usr/bin/python3", ["-c", script, path], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const systemd = new Systemd(directory, path, child);
    let rest = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      systemd.said.push(...lines.filter((line) => line !== "" && line !== "bound"));
    });
    if (child.stdout !== null) await within(once(child.stdout, "data"), "the socket is bound");
    return systemd;
  }

  count(line: string): number {
    return this.said.filter((one) => one === line).length;
  }

  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
