/** The table of commands. */
import type { OptionSpec } from "../../src/cli/arguments.ts";
import type { Command } from "../../src/cli/command.ts";

const dir: OptionSpec = {
  value: "DIR",
  help: "the release workspace; else $OSTIARY_RELEASE, else the current directory",
};
const json: OptionSpec = { help: "print one JSON document" };
const passphraseFile: OptionSpec = {
  value: "[KEY=]FILE",
  help: "file with the passphrase of a key, or of all keys; else $OSTIARY_PASSPHRASE_KEY, $OSTIARY_PASSPHRASE, else asked",
  multiple: true,
};
const keyFile: OptionSpec = {
  value: "KEY=FILE",
  help: "where the private half of a key lies now, e.g. on a stick",
  multiple: true,
};
const external: OptionSpec = {
  value: "KEY=BASE64",
  help: "public half of a key that a token holds; needs --signer",
  multiple: true,
};
const signer: OptionSpec = {
  value: "PROGRAM",
  help: "program that signs for external keys: called with the key's name, bytes on stdin, signature on stdout",
};
const keysDirectory: OptionSpec = {
  value: "DIR",
  help: "directory for new private keys; else keys/ of the workspace",
};
const fleet: OptionSpec = { value: "FILE", help: "the fleet; else fleet.yaml of the workspace" };
const offline: OptionSpec = { help: "do not speak to the broker: files only" };
const wait: OptionSpec = {
  value: "SECONDS",
  help: "longest silence while reports are read",
  fallback: "3",
};
const days: OptionSpec = {
  value: "DAYS",
  help: "how long a device may begin with it",
  fallback: "30",
};
const signing = { dir, "key-file": keyFile, "passphrase-file": passphraseFile };
const rollout = { ...signing, fleet, offline, wait, json };

export const COMMANDS: readonly Command[] = [
  {
    name: "init",
    summary: "Makes a workspace: keys, settings, the drafts of the first root and an empty list.",
    operands: [],
    options: {
      dir,
      "single-key": { help: "one signature each instead of root 2 of 3 and targets 2 of 2" },
      "keys-dir": keysDirectory,
      external,
      signer,
      "passphrase-file": passphraseFile,
      json,
    },
    load: async () => (await import("./commands-metadata.ts")).init,
  },
  {
    name: "add",
    summary: "Tries a pack and drafts a list with it; or, with --delist, one without it.",
    operands: [],
    options: {
      dir,
      pack: { value: "DIR", help: "directory of the pack" },
      delist: { value: "ID", help: "pack that is not offered any more" },
      hardware: {
        value: "NAME",
        help: "processor it is for: x64 or arm64; both when absent",
        multiple: true,
      },
      json,
    },
    load: async () => (await import("./commands-metadata.ts")).add,
  },
  {
    name: "sign",
    summary: "Signs the drafts with every key that is needed and within reach.",
    operands: [],
    options: {
      ...signing,
      key: { value: "KEY", help: "only with this key", multiple: true },
      renew: { value: "ROLE", help: "first draft root or targets again, with a new date" },
      json,
    },
    load: async () => (await import("./commands-metadata.ts")).sign,
  },
  {
    name: "publish",
    summary:
      "Publishes the drafts, or renews the dates; with --pack, begins its rollout at a ring.",
    operands: [],
    options: {
      ...rollout,
      pack: { value: "ID", help: "pack that the ring is to run" },
      from: {
        value: "DIR",
        help: "all in one, where all keys are within reach: add this pack, sign, publish, begin its rollout",
      },
      ring: { value: "NAME", help: "where it begins; else the first ring of fleet.yaml" },
      days,
      again: { help: "also where this pack failed before" },
      prune: { help: "then remove files that neither the list nor the one before it names" },
    },
    load: async () => (await import("./commands-rollout.ts")).publish,
  },
  {
    name: "promote",
    summary: "Reads the devices' signed reports: goes on to the next ring, waits, or pauses.",
    operands: [],
    options: rollout,
    load: async () => (await import("./commands-rollout.ts")).promote,
  },
  {
    name: "pause",
    summary: "Stops a rollout; devices that have not begun go back to what they were told before.",
    operands: [],
    options: {
      ...rollout,
      reason: { value: "TEXT", help: "why, for the others", fallback: "by hand" },
    },
    load: async () => (await import("./commands-rollout.ts")).pause,
  },
  {
    name: "rollback",
    summary: "Sends every device of the rollout to an older pack that is still listed.",
    operands: [],
    options: {
      ...rollout,
      pack: { value: "ID", help: "the older pack", required: true },
      days,
    },
    load: async () => (await import("./commands-rollout.ts")).rollback,
  },
  {
    name: "status",
    summary: "Shows what is published, drafted and rolled out, and what expires when.",
    operands: [],
    options: { dir, fleet, offline, wait, json },
    load: async () => (await import("./commands-rollout.ts")).status,
  },
  {
    name: "rotate-key",
    summary: "Replaces a key: drafts the next root, to be signed by old and new keys.",
    operands: ["KEY", "NEW-KEY"],
    options: {
      dir,
      "keys-dir": keysDirectory,
      external,
      signer,
      "passphrase-file": passphraseFile,
      json,
    },
    load: async () => (await import("./commands-metadata.ts")).rotate,
  },
];
