/** The table of commands. */
import type { OptionSpec } from "./arguments.ts";
import type { Command } from "./command.ts";

const config: OptionSpec = {
  value: "FILE",
  help: "configuration file; else $OSTIARY_CONFIG, else /etc/ostiary/ostiary.yaml",
};
const socket: OptionSpec = {
  value: "PATH",
  help: "the daemon's control socket; else the configuration's",
};
const json: OptionSpec = { help: "print one JSON document" };
const pack: OptionSpec = { value: "DIR", help: "directory of the pack", required: true };
const threads: OptionSpec = {
  value: "N",
  help: "threads of one model run; 0 = cores − 1",
  fallback: "0",
};
const here = { config, socket, json };

export const COMMANDS: readonly Command[] = [
  {
    name: "run",
    summary: "Runs the daemon in the foreground (systemd does).",
    operands: [],
    options: { config },
    load: async () => (await import("./run.ts")).run,
  },
  {
    name: "demo",
    summary:
      "Shows the whole path: a person is denied, enrolled, granted, erased and denied again.",
    operands: [],
    options: {
      camera: {
        value: "URL",
        help: "a real camera (rtsp://… or /dev/video0) instead of the built-in clip",
      },
      pack: {
        value: "DIR",
        help: "pack to run; else the bundled one",
      },
      json,
    },
    load: async () => (await import("./demo.ts")).demo,
  },
  {
    name: "check",
    summary: "Checks configuration, pack and store; says what to do about each finding.",
    operands: [],
    options: {
      config,
      reach: { help: "also try the decoders, the broker and the release repository" },
      lines: { help: "print tab-separated state, subject, finding and fix (for scripts)" },
      json,
    },
    load: async () => (await import("./check.ts")).check,
  },
  {
    name: "config print",
    summary: "Prints the effective configuration, secrets redacted.",
    operands: [],
    options: { config, json },
    load: async () => (await import("./config.ts")).configPrint,
  },
  {
    name: "config schema",
    summary: "Prints the JSON Schema of the configuration.",
    operands: [],
    options: {},
    load: async () => (await import("./config.ts")).configSchema,
  },
  {
    name: "identities list",
    summary: "Lists who is enrolled.",
    operands: [],
    options: here,
    load: async () => (await import("./identities.ts")).list,
  },
  {
    name: "identities show",
    summary: "Shows one enrolled person.",
    operands: ["ID"],
    options: here,
    load: async () => (await import("./identities.ts")).show,
  },
  {
    name: "enrol",
    summary: "Enrols a person from pictures, or guided at a camera.",
    operands: ["ID"],
    options: {
      ...here,
      image: { value: "FILE", help: "JPEG or PNG with one face", multiple: true },
      camera: { value: "ID", help: "collect at this camera instead" },
      name: { value: "TEXT", help: "display name of a new person (default: the id)" },
      group: { value: "NAME", help: "group of a new person", multiple: true },
      "allow-duplicate": { help: "also when the face already belongs to somebody else" },
    },
    load: async () => (await import("./enrol.ts")).enrol,
  },
  {
    name: "erase",
    summary: "Erases a person: key, templates and crops. Cannot be undone.",
    operands: ["ID"],
    options: here,
    load: async () => (await import("./identities.ts")).erase,
  },
  {
    name: "disable",
    summary: "Stops granting a person; enabled again by identity/put.",
    operands: ["ID"],
    options: here,
    load: async () => (await import("./identities.ts")).disable,
  },
  {
    name: "inspect",
    summary: "Shows what the models see in a picture: boxes, landmarks, scores, quality.",
    operands: ["IMAGE"],
    options: {
      config,
      pack: { value: "DIR", help: "directory of the pack; else the configuration's" },
      "crop-out": { value: "FILE", help: "write the aligned crop of the main face there (PNG)" },
      threads,
      json,
    },
    load: async () => (await import("./inspect.ts")).inspect,
  },
  {
    name: "evaluate verification",
    summary: "LFW-style pairs: 10-fold accuracy, TAR at FAR 1e-3 and 1e-4, failures to acquire.",
    operands: [],
    options: {
      pack,
      root: { value: "DIR", help: "pictures as Name/Name_0001.jpg", required: true },
      pairs: { value: "FILE", help: "pairs.txt", required: true },
      threads,
      json,
    },
    load: async () => (await import("./evaluate-verification.ts")).evaluateVerification,
  },
  {
    name: "evaluate calibration",
    summary: "Measures the score → false match rate table of a pack.",
    operands: [],
    options: {
      pack,
      root: { value: "DIR", help: "folders of people: Name/Name_0001.jpg" },
      crops: { value: "DIR", help: "aligned crops, 112×112, each of somebody else" },
      labels: { value: "FILE", help: "CSV with a column file: labels of the crops" },
      group: { value: "COLUMN", help: "column of the labels to report by", multiple: true },
      set: { value: "TEXT", help: "what the pictures are, in words", required: true },
      out: { value: "FILE", help: "write the table there (JSON, for models import --calibration)" },
      threads,
      json,
    },
    load: async () => (await import("./evaluate-calibration.ts")).evaluateCalibration,
  },
  {
    name: "models import",
    summary: "Builds a pack from a detector and an embedder file whose checksums are pinned.",
    operands: [],
    options: {
      detector: { value: "FILE", help: "ONNX detector (YuNet 2023mar)", required: true },
      embedder: { value: "FILE", help: "ONNX embedder", required: true },
      preset: {
        value: "NAME",
        help: "preprocessing and checksum of the embedder: see models list",
        required: true,
      },
      calibration: { value: "FILE", help: "score table from evaluate calibration" },
      out: { value: "DIR", help: "directory to write; must not exist", required: true },
      json,
    },
    load: async () => (await import("./models-import.ts")).modelsImport,
  },
  {
    name: "models list",
    summary: "Lists the bundled packs and the presets of models import.",
    operands: [],
    options: { json },
    load: async () => (await import("./models-list.ts")).modelsList,
  },
  {
    name: "bench",
    summary: "Times the face step and the bare model runs on this machine.",
    operands: [],
    options: {
      config,
      pack: { value: "DIR", help: "directory of the pack; else the configuration's" },
      image: { value: "FILE", help: "picture with a face; else only the models are timed" },
      runs: { value: "N", help: "measured repetitions", fallback: "50" },
      threads,
      json,
    },
    load: async () => (await import("./bench.ts")).bench,
  },
  {
    name: "send",
    summary: "Signs a command, sends it over MQTT and waits for the answers.",
    operands: ["COMMAND", "ARGS-JSON"],
    options: {
      broker: { value: "URL", help: "mqtts://host:8883 or mqtt://127.0.0.1:1883", required: true },
      key: { value: "FILE", help: "private key (PEM) from keys new", required: true },
      device: { value: "SITE/DEVICE", help: "whom the command is for", required: true },
      ca: { value: "FILE", help: "CA certificate of the broker (PEM)" },
      username: { value: "NAME", help: "broker user" },
      "password-file": { value: "FILE", help: "file with the broker password" },
      "insecure-plaintext": { help: "allow mqtt:// to another machine" },
      timeout: { value: "SECONDS", help: "longest silence before giving up", fallback: "30" },
      json,
    },
    load: async () => (await import("./send.ts")).send,
  },
  {
    name: "update status",
    summary: "Shows what runs, what is wanted and how far an update is.",
    operands: [],
    options: here,
    load: async () => (await import("./update.ts")).status,
  },
  {
    name: "update check",
    summary: "Asks the release repository now.",
    operands: [],
    options: here,
    load: async () => (await import("./update.ts")).check,
  },
  {
    name: "update apply",
    summary: "Updates now: waits for no better moment, starts again what was stopped.",
    operands: [],
    options: here,
    load: async () => (await import("./update.ts")).apply,
  },
  {
    name: "update abort",
    summary: "Ends the update that is under way.",
    operands: [],
    options: here,
    load: async () => (await import("./update.ts")).abort,
  },
  {
    name: "update rollback",
    summary: "Has the pack before this one serve again; works offline.",
    operands: [],
    options: here,
    load: async () => (await import("./update.ts")).rollback,
  },
  {
    name: "keys new",
    summary: "Makes an Ed25519 key for signing commands.",
    operands: ["NAME"],
    options: { out: { value: "DIR", help: "directory for NAME.pem", required: true }, json },
    load: async () => (await import("./keys.ts")).keysNew,
  },
];
