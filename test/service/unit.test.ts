import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";

const UNIT = "systemd/ostiary.service";
const unit = readFileSync(UNIT, "utf8");
const analyze = spawnSync("systemd-analyze", ["--version"]).status === 0;
const skip = analyze ? false : "NO systemd-analyze: the unit's exposure is not checked";

describe("systemd unit", () => {
  it("is exposed no more than 2.0", { skip }, () => {
    const run = spawnSync(
      "systemd-analyze",
      ["security", "--offline=yes", "--threshold=20", UNIT],
      { encoding: "utf8" },
    );
    assert.equal(
      run.status,
      0,
      run.stdout
        .split("\n")
        .filter((line) => line.startsWith("✗") || line.includes("Overall"))
        .join("\n"),
    );
  });

  it("says what the daemon relies on", () => {
    const required = [
      "Type=notify",
      "NotifyAccess=all",
      "Restart=always",
      "StartLimitIntervalSec=0",
      "ExecReload=/bin/kill -HUP $MAINPID",
      "LoadCredential=device-key:/etc/ostiary/device.key",
      "StateDirectory=ostiary",
      "RuntimeDirectory=ostiary",
      "User=ostiary",
      "Group=ostiary-admin",
      "UMask=0077",
      "ConfigurationDirectory=ostiary",
      "CacheDirectory=ostiary",
    ];
    for (const line of required) assert.ok(unit.split("\n").includes(line), line);
    assert.match(unit, /^WatchdogSec=\d+$/m);
    const stop = Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1]);
    assert.ok(stop >= 5, "the daemon is given the 5 s it may take to stop");
  });

  it("leaves out what kills Node, and comments inside lines", () => {
    assert.doesNotMatch(unit, /^MemoryDenyWriteExecute/m);
    assert.doesNotMatch(unit, /^ProcSubset/m);
    assert.doesNotMatch(unit, /^[^#].*\s#/m);
  });
});
