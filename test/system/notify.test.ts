import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { Notifier } from "../../src/system/notify.ts";
import { RecordingLog } from "../support/log.ts";

/** Prints every datagram as one JSON string a line. The barrier's file descriptor closes on receipt. */
const RECEIVER = `
import json, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print(json.dumps("bound"), flush=True)
while True:
    print(json.dumps(s.recv(4096).decode()), flush=True)
`;

async function receiver() {
  const directory = await mkdtemp(join(tmpdir(), "ostiary-notify-"));
  const socket = join(directory, "notify.sock");
  const child = spawn("/usr/bin/python3", ["-c", RECEIVER, socket], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => JSON.parse((await lines.next()).value ?? '""');
  assert.equal(await next(), "bound");
  return {
    socket,
    next,
    /** Skips the barrier's own datagram. */
    nextMessage: async (): Promise<string> => {
      for (;;) {
        const message = await next();
        if (!message.startsWith("BARRIER=")) return message.trim();
      }
    },
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await rm(directory, { recursive: true, force: true });
    },
  };
}

test("messages reach a real datagram socket, in order", async () => {
  await using systemd = await receiver();
  await using notifier = new Notifier({ socket: systemd.socket }, { log: new RecordingLog() });
  notifier.ready("two cameras\nREADY=0");
  notifier.watchdog();
  notifier.reloading();
  notifier.extendTimeout(30_000);
  notifier.stopping("stopping");
  assert.equal(await systemd.nextMessage(), "READY=1\nSTATUS=two cameras READY=0");
  assert.equal(await systemd.nextMessage(), "WATCHDOG=1");
  assert.match(await systemd.nextMessage(), /^RELOADING=1\nMONOTONIC_USEC=\d{6,}$/);
  assert.equal(await systemd.nextMessage(), "EXTEND_TIMEOUT_USEC=30000000");
  assert.equal(await systemd.nextMessage(), "STOPPING=1\nSTATUS=stopping");
  await notifier.flush();
  assert.deepEqual(notifier.stats, { sent: 5, failed: 0, dropped: 0 });
});

test("feeds that wait are merged, and the queue is bounded", async () => {
  await using systemd = await receiver();
  const notifier = new Notifier(
    { socket: systemd.socket, queueMax: 2 },
    { log: new RecordingLog() },
  );
  notifier.status("a");
  for (let i = 0; i < 5; i += 1) notifier.watchdog();
  for (const status of ["b", "c", "d"]) notifier.status(status);
  await notifier.flush();
  assert.deepEqual(notifier.stats, { sent: 3, failed: 0, dropped: 2 });
});

test("without a socket nothing is sent", async () => {
  const notifier = new Notifier(
    { socket: undefined, program: "/nonexistent" },
    { log: new RecordingLog() },
  );
  notifier.ready("x");
  await notifier.flush();
  assert.deepEqual(notifier.stats, { sent: 0, failed: 0, dropped: 0 });
});

test("a failing program is counted and warned of once, never thrown", async () => {
  const log = new RecordingLog();
  const notifier = new Notifier({ socket: "/nonexistent/s", program: "/nonexistent/p" }, { log });
  notifier.ready("x");
  notifier.status("y");
  await notifier.flush();
  assert.equal(notifier.stats.failed, 2);
  assert.deepEqual(
    log.entries.map((entry) => entry.fields["code"]),
    ["ENOENT"],
  );
});
