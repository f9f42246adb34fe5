import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { consume } from "../../scripts/consumer/consumer.ts";
import type { Decision as Heard, RefusalCode } from "../../scripts/consumer/verify.ts";
import { BASE, decisionFor, listen, startLink, until } from "../mqtt/harness.ts";
import { startBroker } from "../support/broker.ts";

test("acts on what the device signs, once; on nothing that others send", async () => {
  await using broker = await startBroker();
  await using rig = startLink(broker.url);
  await until("connected", () => rig.link.connection.connected);
  await using live = await listen(broker.url);

  const heard: Heard[] = [];
  const refused: RefusalCode[] = [];
  // A minute ahead: what is decided now is not "before the start" of this consumer.
  let aheadMs = -60_000;
  const now = (): number => Date.now() + aheadMs;
  const options = { url: broker.url, device: "lab/box", publicKey: rig.signer.publicKey };
  const client = consume(
    options,
    { onDecision: (one) => heard.push(one), onRefused: (code) => refused.push(code) },
    now,
  );
  try {
    aheadMs = 0;
    await until("subscribed", () => client.connected);
    await client.subscribeAsync(`${BASE}decision`, { qos: 1, rap: true, rh: 2 });

    rig.link.publishDecision(decisionFor("real-one", 5000), () => {});
    await until("acted", () => heard.length === 1);
    assert.equal(heard[0]?.id, "real-one");

    const real = live.on("decision")[0]?.text ?? "";
    const send = (text: string, retain = false) =>
      live.client.publishAsync(`${BASE}decision`, text, { qos: 1, retain });
    await send(real);
    await until("repeated", () => refused.includes("repeated"));
    await send(real.replace("deny", "grant"));
    await until("forged", () => refused.includes("bad_signature"));
    await send(real, true);
    await until("retained", () => refused.includes("retained"));
    rig.outbox.append(1);
    await until("event", () => live.on("event").length === 1);
    await send(live.on("event")[0]?.text ?? "");
    await until("event refused", () => refused.includes("not_a_decision"));
    assert.equal(heard.length, 1);
  } finally {
    await client.endAsync(true);
  }
});

const python = fileURLToPath(new URL("../../.venv/bin/python", import.meta.url));

test("the Python consumer does too", {
  skip: existsSync(python) ? false : "no .venv: run scripts/setup.sh",
}, async () => {
  await using broker = await startBroker();
  await using rig = startLink(broker.url);
  await using live = await listen(broker.url);
  const args = [
    "-m",
    "ostiary_consumer",
    "--url",
    broker.url,
    "--device",
    "lab/box",
    "--key",
    rig.signer.publicKey,
  ];
  const cwd = fileURLToPath(new URL("../../scripts/consumer", import.meta.url));
  const child = spawn(python, args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let errors = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    errors += chunk.toString();
  });
  try {
    // It believes nothing from its first two seconds, so it is asked until it does.
    for (let tries = 0; !output.includes("\n") && tries < 100; tries += 1) {
      rig.link.publishDecision(decisionFor(`try-${tries}`, 5000), () => {});
      await sleep(100);
    }
    const first = JSON.parse(output.split("\n")[0] ?? "{}") as { id: string; door: string };
    assert.equal(first.door, "front");
    assert.match(errors, /refused: before_start/);
    const real = live.on("decision").find((one) => one.text.includes(`${first.id}\\"`))?.text ?? "";
    const send = (text: string, retain = false) =>
      live.client.publishAsync(`${BASE}decision`, text, { qos: 1, retain });
    await send(real);
    await until("repeated", () => errors.includes("refused: repeated"));
    await send(real.replace("deny", "grant"));
    await until("forged", () => errors.includes("refused: bad_signature"));
    await send(real, true);
    await until("retained", () => errors.includes("refused: retained"));
    assert.doesNotMatch(output, /grant/);
  } finally {
    child.kill("SIGKILL");
  }
});
