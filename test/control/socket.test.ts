import assert from "node:assert/strict";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { ControlClient } from "../../src/control/client.ts";
import type { AnswerSink } from "../../src/control/dispatcher.ts";
import { LINE_MAX_BYTES, LineReader } from "../../src/control/protocol.ts";
import { ControlSocket } from "../../src/control/socket.ts";
import type { Answer } from "../../src/lib/envelope.ts";
import { createClock } from "../../src/system/clock.ts";
import { RecordingLog } from "../support/log.ts";
import { rig } from "./support/rig.ts";

type Submit = (
  request: { readonly id: string; readonly name: string; readonly args: unknown },
  onAnswer: AnswerSink,
) => Promise<void>;

async function served(submitLocal: Submit, options: { readonly idleMs?: number } = {}) {
  const directory = await mkdtemp(join(tmpdir(), "ostiary-control-"));
  const path = join(directory, "control.sock");
  const open = () =>
    ControlSocket.open(
      { path, version: "0.1.0", ...options },
      { log: new RecordingLog(), clock: createClock(), dispatcher: { submitLocal } },
    );
  const server = await open();
  return {
    path,
    open,
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

const echo: Submit = async ({ args }, onAnswer) => onAnswer({ ok: true, data: args });

test("a real dispatcher answers over a socket that others may not open", async () => {
  const { dispatcher } = rig();
  await using server = await served((request, onAnswer) =>
    dispatcher.submitLocal(request, onAnswer),
  );
  assert.equal((await stat(server.path)).mode & 0o777, 0o660);
  using client = await ControlClient.connect(server.path);
  const put = await client.ask(
    "identity/put",
    { id: "ada", displayName: "Ada" },
    { id: "request-1" },
  );
  assert.deepEqual(put, { ok: true, data: { id: "ada", created: true, enabled: true } });
  assert.deepEqual(
    await client.ask("identity/put", { id: "ada", displayName: "Ada" }, { id: "request-1" }),
    put,
  );
  const missing = await client.ask("identity/get", { id: "bob" }, { id: "request-2" });
  assert.equal(missing.ok ? "ok" : missing.error.code, "unknown_identity");
});

test("answers find their request, progress comes before the end", async () => {
  const finish = new Map<unknown, AnswerSink>();
  await using server = await served(
    ({ args }, onAnswer) =>
      new Promise((resolve) => {
        onAnswer({ ok: true, progress: { of: args } });
        finish.set(args, (answer: Answer) => {
          onAnswer(answer);
          resolve();
        });
      }),
  );
  using client = await ControlClient.connect(server.path);
  const progress: unknown[] = [];
  const onProgress = (each: unknown): void => {
    progress.push(each);
    if (progress.length === 2) {
      finish.get("b")?.({ ok: true, data: "B" });
      finish.get("a")?.({ ok: true, data: "A" });
    }
  };
  const both = await Promise.all([
    client.ask("x", "a", { id: "request-a", onProgress }),
    client.ask("x", "b", { id: "request-b", onProgress }),
  ]);
  assert.deepEqual(both, [
    { ok: true, data: "A" },
    { ok: true, data: "B" },
  ]);
  assert.deepEqual(progress, [{ of: "a" }, { of: "b" }]);
});

test("a line that is no request, or too long, ends the connection with a reason", async () => {
  await using server = await served(echo);
  const lastLine = async (send: string): Promise<string> => {
    const socket = connect(server.path);
    socket.on("error", () => undefined);
    socket.write(send);
    let text = "";
    for await (const chunk of socket) text += String(chunk);
    return text.trim().split("\n").at(-1) ?? "";
  };
  assert.match(await lastLine("nonsense\n"), /"malformed"/);
  assert.match(
    await lastLine('{"id":"request-1","cmd":"x","args":1,"kid":"forged"}\n'),
    /"malformed"/,
  );
  assert.match(await lastLine("x".repeat(LINE_MAX_BYTES + 10)), /"too_large"/);
});

test("an idle connection is closed, one that waits for its answer is not", async () => {
  const clock = createClock();
  const answerLate: Submit = async ({ args }, onAnswer) => {
    await clock.sleep(200);
    onAnswer({ ok: true, data: args });
  };
  await using server = await served(answerLate, { idleMs: 40 });
  await new Promise<void>((resolve) => {
    const socket = connect(server.path).on("close", () => resolve());
    socket.resume();
  });
  const socket = connect(server.path);
  socket.write('{"id":"request-1","cmd":"x","args":7}\n');
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  assert.match(text, /"data":7/);
});

test("a socket left by a crash is replaced; a served one is not taken over", async () => {
  await using server = await served(echo);
  await assert.rejects(server.open(), { code: "control_socket_in_use" });
  const stale = await mkdtemp(join(tmpdir(), "ostiary-stale-"));
  await writeFile(join(stale, "control.sock"), "");
  await using replaced = await ControlSocket.open(
    { path: join(stale, "control.sock"), version: "0" },
    { log: new RecordingLog(), clock: createClock(), dispatcher: { submitLocal: echo } },
  );
  using client = await ControlClient.connect(join(stale, "control.sock"));
  assert.ok(client && replaced);
  await rm(stale, { recursive: true });
});

test("without a daemon the client says what to do, and an abort ends the wait", async () => {
  await assert.rejects(ControlClient.connect("/nonexistent/control.sock"), {
    code: "control_unreachable",
    message: /systemctl status ostiary/,
  });
  await using server = await served(() => new Promise(() => {}));
  using client = await ControlClient.connect(server.path);
  const abort = new AbortController();
  const asked = client.ask("x", 1, { id: "request-1" }, abort.signal);
  abort.abort();
  await assert.rejects(asked, { code: "aborted" });
});

test("lines survive any cutting into chunks", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: "grapheme" }).map((line) => line.replaceAll("\n", " "))),
      fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 }),
      (lines, sizes) => {
        const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""));
        const reader = new LineReader();
        const out: string[] = [];
        for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
          const size = sizes[turn % sizes.length] ?? 1;
          out.push(...(reader.push(bytes.subarray(at, at + size)) ?? []));
          at += size;
        }
        assert.deepEqual(out, lines);
      },
    ),
  );
  assert.equal(new LineReader(4).push(Buffer.from("12345")), undefined);
});
