import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { progressText } from "../../src/cli/answer.ts";
import type { Command } from "../../src/cli/command.ts";
import { COMMANDS } from "../../src/cli/commands.ts";
import { EXIT, refused } from "../../src/cli/exit.ts";
import { Fault } from "../../src/lib/fault.ts";
import { cli } from "./support.ts";

const failing = (fault: unknown): readonly Command[] => [
  {
    name: "fail",
    summary: "",
    operands: [],
    options: {},
    load: async () => () => Promise.reject(fault),
  },
];

describe("cli", () => {
  it("prints its commands and exits 0 when asked for help, 2 when called without anything", async () => {
    const help = await cli(["--help"]);
    assert.equal(help.exit, EXIT.ok);
    for (const command of COMMANDS) assert.ok(help.out.includes(command.name), command.name);
    assert.equal((await cli([])).exit, EXIT.usage);
  });

  const misuse: readonly (readonly [readonly string[], RegExp])[] = [
    [["frobnicate"], /there is no command "frobnicate"/],
    [["identities"], /"identities" needs one of: list, show/],
    [["erase"], /ID is missing/],
    [["erase", "a", "b"], /"b" is one operand too many/],
    [["erase", "a", "--force"], /unknown option '--force'/i],
    [["keys", "new", "x"], /--out DIR is required/],
    [["keys", "new", "../x", "--out", "/nonexistent"], /cannot name a key/],
    [["bench", "--runs", "many"], /--runs must be a number from 5 to/],
    [["run", "--config", "a", "--config", "b"], /--config is given 2 times/],
    [["run", "--config", ""], /--config is empty/],
  ];
  for (const [argv, message] of misuse) {
    it(`refuses "${argv.join(" ")}" in one line`, async () => {
      const run = await cli(argv);
      assert.equal(run.exit, EXIT.usage);
      assert.match(run.error, message);
      assert.equal(run.error.split("\n").length, 2, "one line");
      assert.equal(run.out, "");
    });
  }

  it("maps faults to exit codes and keeps them to one line", async () => {
    const ended = async (fault: unknown) => cli(["fail"], { commands: failing(fault) });
    assert.equal((await ended(new Error("two\n  lines"))).error, "ostiary: two; lines\n");
    assert.equal((await ended(new Error("x"))).exit, EXIT.failed);
    assert.equal((await ended(refused("not_found", "x"))).exit, EXIT.refused);
    assert.equal(
      (await ended(Object.assign(new Error("x"), { code: "ECONNREFUSED" }))).exit,
      EXIT.unreachable,
    );
    assert.equal((await ended(new Fault("config_invalid", "x"))).exit, EXIT.config);
  });

  it("exits 130 when it was interrupted", async () => {
    const stop = new AbortController();
    stop.abort();
    assert.equal(
      (await cli(["fail"], { commands: failing(new Error("x")), signal: stop.signal })).exit,
      EXIT.interrupted,
    );
  });

  it("explains every command", async () => {
    for (const command of COMMANDS) {
      const help = await cli([...command.name.split(" "), "--help"]);
      assert.equal(help.exit, EXIT.ok);
      for (const option of Object.keys(command.options))
        assert.ok(help.out.includes(`--${option}`), `${command.name} --${option}`);
    }
  });
});

describe("progress", () => {
  it("says shots and hints of an enrolment, and anything else as it is", () => {
    const said = { accepted: 1, wanted: 5, lastReason: "low_quality", hints: ["come_closer"] };
    assert.equal(progressText(said), "1 of 5 shots: come closer");
    assert.equal(progressText({ accepted: 2, wanted: 5 }), "2 of 5 shots");
    assert.equal(progressText({ state: "started" }), '{"state":"started"}');
  });
});
