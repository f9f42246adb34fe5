import assert from "node:assert/strict";
import { test } from "node:test";
import { isLoopback, MqttOptions } from "../../src/mqtt/options.ts";

const base = { url: "mqtts://broker.example", site: "lab", device: "box" };

test("defaults", () => {
  const options = MqttOptions.parse(base);
  assert.equal(options.willDelaySeconds, 15);
  assert.deepEqual(options.reconnect, { firstMs: 500, maxMs: 15_000 });
});

const refused: readonly (readonly [string, Record<string, unknown>, RegExp])[] = [
  ["plaintext to another machine", { url: "mqtt://broker.example" }, /insecurePlaintext/],
  ["credentials in the URL", { url: "mqtts://user:word@broker.example" }, /passwordFile/],
  ["another protocol", { url: "wss://broker.example" }, /mqtts:\/\//],
  ["a topic separator in the site", { site: "a/b" }, /site/],
  ["a wildcard in the device", { device: "+" }, /device/],
  ["half a certificate", { certFile: "/a" }, /keyFile/],
  ["a password without a user", { passwordFile: "/a" }, /username/],
  ["an unknown key", { qos: 2 }, /qos/],
];
for (const [name, change, message] of refused) {
  test(`refuses ${name}`, () => {
    const result = MqttOptions.safeParse({ ...base, ...change });
    assert.match(JSON.stringify(result.error?.issues), message);
    assert.doesNotMatch(JSON.stringify(result.error?.issues), /word@/);
  });
}

test("plaintext is fine on this machine, and elsewhere when said so", () => {
  for (const url of ["mqtt://localhost", "mqtt://127.0.0.1:1884", "mqtt://[::1]:1883"])
    MqttOptions.parse({ ...base, url });
  MqttOptions.parse({ ...base, url: "mqtt://broker.example", insecurePlaintext: true });
});

test("loopback is what never leaves the machine", () => {
  assert.ok(isLoopback("127.9.9.9") && isLoopback("[::1]") && isLoopback("localhost"));
  assert.ok(
    !isLoopback("127.evil.example") && !isLoopback("10.0.0.1") && !isLoopback("localhost.example"),
  );
});
