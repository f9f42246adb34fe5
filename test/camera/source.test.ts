import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CameraOptions } from "../../src/camera/options.ts";
import { isLocal, redactor, sourceOf } from "../../src/camera/source.ts";

test("URLs are told apart", () => {
  assert.deepEqual(sourceOf("rtsp://u:p@cam:554/x"), {
    kind: "rtsp",
    url: "rtsp://u:p@cam:554/x",
    host: "cam",
  });
  assert.deepEqual(sourceOf("file:/a b.mp4"), { kind: "file", path: "/a b.mp4" });
  assert.deepEqual(sourceOf("file:///a.mp4"), { kind: "file", path: "/a.mp4" });
  assert.deepEqual(sourceOf("/dev/video0"), { kind: "device", path: "/dev/video0" });
});

test("local networks are private, link-local and loopback addresses and bare names", () => {
  const local = [
    "10.0.0.5",
    "192.168.1.9:554",
    "172.16.0.1",
    "172.31.0.1",
    "127.0.0.1",
    "[::1]:554",
    "[fe80::1]",
    "[fd00::2]",
    "gate",
    "gate.local",
  ];
  const remote = ["172.32.0.1", "8.8.8.8", "cam.example.com", "[2001:db8::1]", "10.example.com"];
  assert.deepEqual(
    local.filter((host) => !isLocal(sourceOf(`rtsp://u:p@${host}/x`))),
    [],
  );
  assert.deepEqual(
    remote.filter((host) => isLocal(sourceOf(`rtsp://u:10.0.0.1@${host}/x`))),
    [],
  );
  assert.equal(isLocal(sourceOf("file:/x")), true);
});

test("what ffmpeg says of a URL loses user, password and query", () => {
  const redact = redactor("rtsp://admin:p%40ss/w'rd@10.0.0.5/live?token=abc");
  assert.equal(
    redact("[concat @ 0x1] Impossible to open 'rtsp://admin:p%40ss/w'rd@10.0.0.5/live?token=abc'"),
    "[concat @ 0x1] Impossible to open '***'",
  );
  assert.equal(redact("auth p@ss/w'rd failed for admin"), "auth *** failed for ***");
  assert.equal(
    redact("tcp://bob:x@10.0.0.9:1/a?k=v was tried"),
    "tcp://***@10.0.0.9:1/a?*** was tried",
  );
  assert.equal(
    redact("method DESCRIBE failed: 401 Unauthorized"),
    "method DESCRIBE failed: 401 Unauthorized",
  );
});

test("no password survives, however it is quoted", () => {
  const name = fc.stringMatching(/^[A-Za-z0-9!$&'()*+,;=_~@%-]{3,20}$/);
  const word = fc.stringMatching(/^[A-Za-z0-9!$&'()*+,;=_~@:%-]{3,20}$/);
  fc.assert(
    fc.property(name, word, fc.stringMatching(/^[ -~]{0,30}$/), (user, password, noise) => {
      const url = `rtsp://${user}x:${password}#@10.0.0.5/live`;
      const line = `${noise} ${url} ${noise} password=${password}# ${noise}`;
      assert.ok(!redactor(url)(line).includes(`${password}#`));
    }),
  );
});

test("options: what is no URL, or would break out of its line, is refused by name", () => {
  const urls = [
    "http://x/",
    "rtsp://",
    "rtsp://u@h/x\nfile '/etc/passwd'",
    "/dev/sda",
    "file:",
    "",
  ];
  for (const url of urls) {
    const result = CameraOptions.safeParse({ id: "door", url });
    assert.equal(result.success, false, url);
    assert.equal(result.error?.issues[0]?.path[0], "url");
  }
  const { stallMs, backoff, transport } = CameraOptions.parse({ id: "door", url: "rtsp://h/x" });
  assert.deepEqual(
    { stallMs, backoff, transport },
    { stallMs: 5000, backoff: { firstMs: 500, maxMs: 30_000, localMaxMs: 1000 }, transport: "tcp" },
  );
});

test("options: every field is described", () => {
  const undescribed = Object.entries(CameraOptions.shape).filter(
    ([, schema]) => !schema.meta()?.description,
  );
  assert.deepEqual(
    undescribed.map(([name]) => name),
    [],
  );
});
