import assert from "node:assert/strict";
import { mkdtemp, readFile } from "node:fs/promises";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { epochMs } from "../../src/lib/brand.ts";
import { type AuthorityContext, checkCommand } from "../../src/mqtt/authority.ts";
import { CommandClient } from "../../src/mqtt/client.ts";
import { KeyRing } from "../../src/mqtt/envelope.ts";
import { MqttOptions } from "../../src/mqtt/options.ts";
import { createClock } from "../../src/system/clock.ts";
import { createRandom } from "../../src/system/random.ts";
import { makeCertificates, startBroker } from "../support/broker.ts";
import { startProxy } from "../support/proxy.ts";
import { BASE, decisionFor, listen, newSigner, type Rig, startLink, until } from "./harness.ts";

const clientOptions = (url: string, more: Record<string, unknown> = {}): MqttOptions =>
  MqttOptions.parse({ url, site: "lab", device: "box", ...more });
const never = new AbortController().signal;
const random = createRandom();
const newId = (): string => random.id(epochMs(Date.now()));

/** Answers every good command with its arguments, in two steps for `enrolment/start`. */
function serve(rig: Rig, publicKeys: readonly string[]): void {
  const ring = new KeyRing(publicKeys);
  void (async () => {
    for await (const raw of rig.link.commands) {
      const context: AuthorityContext = {
        has: ring.has,
        verify: ring.verify,
        audience: "lab/box",
        now: epochMs(Date.now()),
        maxBytes: 100_000,
        skewSeconds: 5,
      };
      const verdict = checkCommand(raw, context);
      if (verdict.kind === "refused") {
        if (verdict.replyTo !== undefined)
          rig.link.answer(verdict.replyTo, { ok: false, error: verdict });
        continue;
      }
      if (verdict.payload.cmd === "enrolment/start")
        rig.link.answer(verdict.replyTo, { ok: true, progress: { shots: 1 } });
      rig.link.answer(verdict.replyTo, { ok: true, data: verdict.payload.args });
    }
  })();
}

describe("commands", { concurrency: 3 }, () => {
  test("a signed command is answered under response/ with its correlation data, not retained", async () => {
    await using broker = await startBroker();
    await using rig = startLink(broker.url);
    const signer = newSigner();
    serve(rig, [signer.publicKey]);
    await until("connected", () => rig.link.connection.connected);
    await using live = await listen(broker.url);
    await using client = await CommandClient.open(
      clientOptions(broker.url),
      { clock: createClock(), newId, signer },
      never,
    );
    assert.deepEqual(await client.ask("identity/get", { id: "ada" }, { timeoutMs: 3000 }), {
      ok: true,
      data: { id: "ada" },
    });
    const steps = [];
    for await (const answer of client.send("enrolment/start", { id: "ada" }, { timeoutMs: 3000 }))
      steps.push(answer);
    assert.deepEqual(steps, [
      { ok: true, progress: { shots: 1 } },
      { ok: true, data: { id: "ada" } },
    ]);
    const toUs = `${BASE}response/${signer.kid}/`;
    const responses = () => live.heard.filter((one) => one.topic.startsWith(toUs));
    await until("three responses", () => responses().length === 3);
    assert.ok(
      responses().every(
        (one) => !one.retain && one.packet.properties?.correlationData !== undefined,
      ),
    );
  });

  test("forged, retained, oversized and foreign-reply commands are refused with a code", async () => {
    await using broker = await startBroker();
    await using rig = startLink(broker.url);
    const signer = newSigner();
    serve(rig, [signer.publicKey]);
    await until("connected", () => rig.link.connection.connected);
    await using live = await listen(broker.url);
    const deps = { clock: createClock(), newId, signer };
    await using good = await CommandClient.open(clientOptions(broker.url), deps, never);
    await using stranger = await CommandClient.open(
      clientOptions(broker.url),
      { ...deps, signer: newSigner() },
      never,
    );
    const codeOf = (answer: { ok: boolean; error?: { code: string } }): string | undefined =>
      answer.error?.code;
    assert.equal(
      codeOf(await stranger.ask("identity/get", {}, { timeoutMs: 3000 })),
      "unknown_key",
    );
    assert.equal(
      codeOf(await good.ask("identity/get", { pad: "x".repeat(100_001) }, { timeoutMs: 3000 })),
      "too_large",
    );

    const { envelope, payload } = good.sign("identity/get", {});
    const responseTopic = `${BASE}response/${payload.kid}/${payload.replyTo}`;
    const properties = { responseTopic, correlationData: Buffer.from(payload.correlation) };
    const codes = (): unknown[] =>
      live.on(responseTopic.slice(BASE.length)).map((one) => JSON.parse(one.text).error?.code);
    const topic = `${BASE}command/identity/get`;
    await live.client.publishAsync(topic, JSON.stringify(envelope), {
      qos: 1,
      retain: true,
      properties,
    });
    await until("retained", () => codes().includes("retained"));
    const forged = JSON.stringify({ ...envelope, payload: envelope.payload.replace("box", "bax") });
    await live.client.publishAsync(topic, forged, { qos: 1, properties });
    await until("bad_signature", () => codes().includes("bad_signature"));
    await live.client.publishAsync(`${BASE}command/identity/erase`, JSON.stringify(envelope), {
      qos: 1,
      properties,
    });
    await until("wrong_command", () => codes().includes("wrong_command"));
    await live.client.publishAsync(topic, '{"cmd":"identity/get"}', { qos: 1, properties });
    await until("unsigned", () => codes().includes("unsigned"));

    const elsewhere = { ...properties, responseTopic: `${BASE}command/door/open` };
    await live.client.publishAsync(topic, JSON.stringify(envelope), {
      qos: 1,
      properties: elsewhere,
    });
    await until("mismatched_reply", () => codes().includes("mismatched_reply"));
    await sleep(100);
    assert.ok(
      !live.heard.some((one) => one.topic.endsWith("door/open")),
      "never publishes where it is told to",
    );
  });

  test("a command retained before the device came is not even delivered", async () => {
    await using broker = await startBroker();
    await using live = await listen(broker.url);
    await live.client.publishAsync(`${BASE}command/identity/erase`, "old", {
      qos: 1,
      retain: true,
    });
    await using rig = startLink(broker.url);
    await until("connected", () => rig.link.connection.connected);
    const first = rig.link.commands[Symbol.asyncIterator]().next();
    await live.client.publishAsync(`${BASE}command/identity/get`, "new", { qos: 1 });
    const { value } = await first;
    assert.equal(value?.name, "identity/get");
  });

  test("beyond 32 waiting commands the answer is busy", async () => {
    await using broker = await startBroker();
    await using rig = startLink(broker.url);
    await until("connected", () => rig.link.connection.connected);
    await using live = await listen(broker.url);
    const kid = "0123456789abcdef";
    for (let i = 0; i < 40; i += 1) {
      const properties = {
        responseTopic: `${BASE}response/${kid}/me`,
        correlationData: Buffer.from(`c${i}`),
      };
      await live.client.publishAsync(`${BASE}command/identity/get`, "x", { qos: 1, properties });
    }
    await until("busy", () => live.on(`response/${kid}/me`).length === 8);
    assert.equal(JSON.parse(live.on(`response/${kid}/me`)[0]?.text ?? "{}").error.code, "busy");
    assert.equal(rig.link.counters.commandsBusy, 8);
  });

  test("a packet beyond the limit never reaches the device, and it stays connected", async () => {
    await using broker = await startBroker();
    await using rig = startLink(broker.url, { maxPacketBytes: 65_536 });
    await until("connected", () => rig.link.connection.connected);
    await using live = await listen(broker.url);
    await live.client.publishAsync(`${BASE}command/identity/put`, "x".repeat(300_000), { qos: 1 });
    await live.client.publishAsync(`${BASE}command/identity/get`, "small", { qos: 1 });
    const { value } = await rig.link.commands[Symbol.asyncIterator]().next();
    assert.equal(value?.name, "identity/get");
    assert.equal(rig.link.connection.reconnects, 0);
  });

  test("silence ends in a fault that names the id", async () => {
    await using broker = await startBroker();
    await using client = await CommandClient.open(
      clientOptions(broker.url),
      { clock: createClock(), newId, signer: newSigner() },
      never,
    );
    await assert.rejects(
      client.ask("identity/get", {}, { timeoutMs: 100, id: "my-command-1" }),
      /my-command-1/,
    );
  });
});

describe("TLS", { concurrency: 2 }, () => {
  test("the broker's certificate is verified: the right authority connects, another does not", async () => {
    await using broker = await startBroker({ tls: true });
    await using good = startLink(broker.url, { caFile: broker.caFile, clientId: "good" });
    const other = await makeCertificates(await mkdtemp("/tmp/ostiary-ca-"));
    await using wrong = startLink(broker.url, { caFile: other.caFile, clientId: "wrong" });
    await using system = startLink(broker.url, { clientId: "system" });
    await until("connected", () => good.link.connection.connected);
    await until("refused", () => wrong.link.connection.code === "broker_not_trusted");
    await until("refused", () => system.link.connection.code === "broker_not_trusted");
    assert.equal(wrong.link.connection.connected, false);
    const client = CommandClient.open(
      clientOptions(broker.url, { caFile: other.caFile }),
      { clock: createClock(), newId, signer: newSigner() },
      never,
    );
    await assert.rejects(client, { code: "broker_not_trusted" });
  });

  test("a certificate for another name is refused", async () => {
    await using broker = await startBroker({ tls: true, tlsNames: "DNS:other.example" });
    await using rig = startLink(broker.url, { caFile: broker.caFile });
    await until("refused", () => rig.link.connection.code === "broker_not_trusted");
    assert.equal(rig.link.connection.connected, false);
  });

  test("a decision on a dead TLS line is forgotten too", async () => {
    await using broker = await startBroker({ tls: true });
    await using proxy = await startProxy(broker.port);
    await using rig = startLink(`mqtts://127.0.0.1:${proxy.port}`, { caFile: broker.caFile });
    await until("connected", () => rig.link.connection.connected);
    await using live = await listen(broker.url, `${BASE}#`, await readFile(broker.caFile ?? ""));
    proxy.stall();
    rig.link.publishDecision(decisionFor("tls-stuck", 3000), () => assert.fail("acknowledged"));
    await until("given up", () => proxy.ended() === 1, 6000);
    proxy.heal();
    await until("again", () => rig.link.connection.connected);
    await sleep(300);
    assert.equal(live.on("decision").length, 0);
  });
});
