import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { bundledPack } from "../support/pack.ts";

const ready = existsSync("node_modules");

describe("install.sh in a staging root", {
  skip: ready ? false : "NOT SET UP: run scripts/setup.sh",
}, () => {
  let root = "";
  const at = (path: string): string => join(root, path);
  const install = (...args: readonly string[]) => {
    const run = spawnSync("bash", ["scripts/install.sh", "--root", root, ...args], {
      encoding: "utf8",
    });
    return { status: run.status, said: run.stdout + run.stderr };
  };
  before(() => {
    root = mkdtempSync(join(tmpdir(), "ostiary-install-"));
    const run = install();
    assert.equal(run.status, 0, run.said);
  });
  after(() => rmSync(root, { recursive: true, force: true }));

  it("installs a version that runs, a unit that is enabled, a configuration and a key", () => {
    const target = readlinkSync(at("opt/ostiary/current"));
    assert.match(target, /^versions\/\d+\.\d+\.\d+-[0-9a-f]{12}$/);
    const help = spawnSync(
      at("opt/ostiary/current/scripts/ostiary"),
      ["models", "list", "--json"],
      { encoding: "utf8" },
    );
    assert.equal(help.status, 0, help.stderr);
    // The pack that it runs by default came along.
    const [pack] = JSON.parse(help.stdout).packs;
    assert.equal(pack.id, bundledPack().pack.id);
    assert.equal(pack.directory, realpathSync(at(`opt/ostiary/current/models/${pack.id}`)));
    assert.equal(readlinkSync(at("usr/bin/ostiary")), "/opt/ostiary/current/scripts/ostiary");
    assert.ok(existsSync(at("etc/systemd/system/multi-user.target.wants/ostiary.service")));
    assert.equal(statSync(at("etc/ostiary/ostiary.yaml")).mode & 0o777, 0o640);
    assert.equal(statSync(at("var/lib/ostiary")).mode & 0o777, 0o700);
    const key = statSync(at("etc/ostiary/device.key"));
    assert.deepEqual([key.mode & 0o777, key.size], [0o600, 32]);
  });

  it("leaves development packages and build leavings behind", () => {
    const modules = readdirSync(at("opt/ostiary/current/node_modules"));
    assert.ok(modules.includes("onnxruntime-node") && modules.includes("mqtt"));
    assert.ok(!modules.includes("typescript") && !modules.includes("@tensorflow"));
    for (const path of ["test", "scripts/training/var"])
      assert.ok(!existsSync(at(`opt/ostiary/current/${path}`)), path);
  });

  it("changes nothing the second time, not even what was edited", () => {
    const key = readFileSync(at("etc/ostiary/device.key"), "hex");
    const [version, inode] = [
      readlinkSync(at("opt/ostiary/current")),
      statSync(at("opt/ostiary/current/package.json")).ino,
    ];
    writeFileSync(at("etc/ostiary/ostiary.yaml"), "# mine\n");
    const run = install();
    assert.equal(run.status, 0, run.said);
    assert.equal(readFileSync(at("etc/ostiary/device.key"), "hex"), key);
    assert.equal(readFileSync(at("etc/ostiary/ostiary.yaml"), "utf8"), "# mine\n");
    assert.deepEqual(
      [
        readlinkSync(at("opt/ostiary/current")),
        statSync(at("opt/ostiary/current/package.json")).ino,
      ],
      [version, inode],
    );
    assert.deepEqual(readdirSync(at("opt/ostiary")).toSorted(), ["current", "versions"]);
  });

  it("--trust puts both authorities where the daemon reads them, and nothing that is none", () => {
    const file = (name: string, text: string): string => {
      writeFileSync(join(root, name), text);
      return join(root, name);
    };
    const rootFile = file("1.root.json", '{"signatures":[],"signed":{"_type": "root"}}');
    const director = file("director.pub", `${"A".repeat(43)}=  # head office\n`);
    const key = file("director.pem", "-----BEGIN PRIVATE KEY-----\n");
    for (const wrong of [
      [director, rootFile],
      [rootFile, key],
      [rootFile, join(root, "nowhere")],
    ]) {
      assert.equal(install("--trust", ...wrong).status, 1);
      assert.equal(existsSync(at("etc/ostiary/trust")), false);
    }
    assert.equal(install("--trust", rootFile).status, 2);
    const run = install("--trust", rootFile, director);
    assert.equal(run.status, 0, run.said);
    for (const [name, from] of [
      ["root.json", rootFile],
      ["director.pub", director],
    ] as const) {
      const to = at(`etc/ostiary/trust/${name}`);
      assert.equal(readFileSync(to, "utf8"), readFileSync(from, "utf8"));
      assert.equal(statSync(to).mode & 0o777, 0o644);
    }
  });

  it("--check names what is wrong with its fix and exits 1", () => {
    chmodSync(at("etc/ostiary/device.key"), 0o644);
    const run = install("--check");
    assert.equal(run.status, 1);
    assert.match(run.said, /FAIL {2}device key .*others may read it\n.*fix: .*chmod 600/);
    assert.match(run.said, /FAIL {2}configuration .*\n.*fix: /);
    assert.match(run.said, /ok {4}addon .*opencv loads/);
    chmodSync(at("etc/ostiary/device.key"), 0o600);
  });

  it("--uninstall keeps configuration, key and store; --purge removes them", () => {
    assert.equal(install("--uninstall").status, 0);
    assert.equal(existsSync(at("opt/ostiary")), false);
    assert.equal(existsSync(at("etc/systemd/system/ostiary.service")), false);
    assert.ok(existsSync(at("etc/ostiary/device.key")) && existsSync(at("var/lib/ostiary")));
    assert.equal(install("--uninstall", "--purge").status, 0);
    assert.equal(existsSync(at("etc/ostiary")) || existsSync(at("var/lib/ostiary")), false);
    assert.equal(install("--uninstall").status, 0, "uninstalling what is not there is no failure");
  });

  it("refuses what it does not know", () => {
    assert.equal(install("--purge").status, 2);
    assert.equal(spawnSync("bash", ["scripts/install.sh", "--frob"]).status, 2);
  });
});
