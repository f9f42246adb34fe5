/** `update/desired` in, `update/state` out, on a real broker. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Envelope } from "../../src/lib/envelope.ts";
import { KeyRing } from "../../src/mqtt/envelope.ts";
import { startBroker } from "../support/broker.ts";
import { BASE, listen, startLink, until } from "./harness.ts";

const retained = { qos: 1, retain: true } as const;

describe("updates on the broker", { concurrency: 2 }, () => {
  test("a desired state that was there before is heard, and heard again after a reconnect", async () => {
    await using broker = await startBroker();
    await using other = await listen(broker.url);
    await other.client.publishAsync(`${BASE}update/desired`, '{"payload":"x"}', retained);
    const heard: string[] = [];
    const hear = (text: string): void => void heard.push(text);
    {
      await using rig = startLink(broker.url, {}, "boot-1", hear);
      await until("the retained one", () => heard.length === 1);
      await other.client.publishAsync(`${BASE}update/desired`, '{"payload":"y"}', retained);
      await until("the live one", () => heard.length === 2);
      await rig.stop();
    }
    await using _again = startLink(broker.url, {}, "boot-2", hear);
    await until("the retained one again", () => heard.length === 3);
    assert.deepEqual(heard, ['{"payload":"x"}', '{"payload":"y"}', '{"payload":"y"}']);
  });

  test("a topic that was cleared asks for nothing, and without updates nobody listens", async () => {
    await using broker = await startBroker();
    await using other = await listen(broker.url);
    const heard: string[] = [];
    await using rig = startLink(broker.url, {}, "boot-1", (text) => void heard.push(text));
    await using off = startLink(broker.url, { device: "other" });
    await until(
      "both are there",
      () => rig.link.connection.connected && off.link.connection.connected,
    );
    await other.client.publishAsync(`${BASE}update/desired`, "", retained);
    await other.client.publishAsync("ostiary/v1/lab/other/update/desired", "{}", retained);
    await other.client.publishAsync(`${BASE}update/desired`, "{}", retained);
    await until("the one that says something", () => heard.length === 1);
    assert.deepEqual(heard, ["{}"]);
    assert.equal(off.link.counters.messagesIgnored, 0);
  });

  test("the state is retained and signed by the device, byte for byte", async () => {
    await using broker = await startBroker();
    await using rig = startLink(broker.url);
    const payload = JSON.stringify({ schema: 1, kind: "update", device: "lab/box", seq: 7 });
    rig.link.setRetainedSigned("update/state", payload);
    await until("connected", () => rig.link.connection.connected);
    await using late = await listen(broker.url);
    await until("the state", () => late.on("update/state").length > 0);
    const [state] = late.on("update/state");
    const envelope = Envelope.parse(JSON.parse(state?.text ?? ""));
    assert.equal(envelope.payload, payload);
    assert.ok(new KeyRing([rig.signer.publicKey]).verify(envelope));
    assert.equal(state?.retain, true);
  });
});
