/** The demo from start to end: what `ostiary demo` runs. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { CommandContext } from "../../src/cli/command.ts";
import { EXIT, type ExitCode } from "../../src/cli/exit.ts";
import { readSigner } from "../../src/cli/send.ts";
import { printJson } from "../../src/cli/terminal.ts";
import { Fault } from "../../src/lib/fault.ts";
import { CommandClient } from "../../src/mqtt/client.ts";
import { MqttOptions } from "../../src/mqtt/options.ts";
import { createClock } from "../../src/system/clock.ts";
import { createRandom } from "../../src/system/random.ts";
import { playActs } from "./acts.ts";
import { startBroker } from "./broker.ts";
import { findPortrait, makeClips } from "./clip.ts";
import { DEVICE, SITE, startDaemon } from "./daemon.ts";
import { Device, type Status } from "./device.ts";
import { Feed } from "./feed.ts";
import { Heard } from "./heard.ts";
import { type DemoPack, findPack } from "./pack.ts";
import { Children } from "./processes.ts";
import { startRtspCamera } from "./rtsp-camera.ts";
import { clipStage, liveStage, type Stage } from "./stage.ts";
import { summaryOf } from "./summary.ts";
import { View } from "./view.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");

export async function runDemo(context: CommandContext): Promise<ExitCode> {
  const { args, terminal, signal } = context;
  const scratch = await mkdtemp(join(tmpdir(), "ostiary-demo-"));
  const children = new Children();
  const lastResort = (): void => children.killNow();
  process.once("exit", lastResort);
  const view = new View(terminal);
  try {
    const { acts, facts } = await play(context, scratch, children, view);
    view.close();
    const ok = acts.every((act) => act.ok);
    if (args.flag("json")) printJson(terminal, { schema: 1, ok, ...facts, acts });
    else terminal.out(summaryOf(acts, facts));
    return ok ? EXIT.ok : EXIT.failed;
  } finally {
    view.close();
    await children[Symbol.asyncDispose]();
    process.removeListener("exit", lastResort);
    await rm(scratch, { recursive: true, force: true });
    if (signal.aborted) terminal.error("interrupted; everything the demo started is stopped\n");
  }
}

export interface DemoFacts {
  readonly packId: string;
  readonly models: string;
  readonly demoOnly: boolean;
  readonly provider: string;
  readonly verified: number;
  readonly refused: number;
}

async function play(
  { args, signal }: CommandContext,
  scratch: string,
  children: Children,
  view: View,
) {
  const given = args.optional("camera");
  view.act("setting the stage");
  // First: what is started beside it would outlive the refusal.
  const pack = await findPack(args.optional("pack"));
  const [broker, stage] = await Promise.all([
    startBroker(children, scratch, signal),
    given === undefined ? builtInStage(scratch, children, signal) : liveStage(given),
  ]);
  view.fact("models", `${pack.id}: ${pack.origin}`);
  if (!pack.calibrated)
    view.fact("warning", "this pack has no calibration: the demo sets a fixed threshold instead");
  if (pack.demoOnly)
    view.fact(
      "warning",
      "this pack is demo-only: not good enough, or not licensed, for a door; the demo asks it for 1 % false matches, a door for 0.1 %",
    );
  view.fact("broker", `Mosquitto of the demo's own, ${broker.url}`);
  view.fact("video", stage.description);
  const daemon = await startDaemon(children, {
    root: ROOT,
    scratch,
    brokerUrl: broker.url,
    cameraUrl: stage.url,
    pack,
  });
  const died = daemon.child.ended.then((code): never => {
    signal.throwIfAborted();
    throw new Fault(
      "daemon_died",
      `the daemon ended (${code}): ${lastLine(daemon.child.output())}`,
    );
  });
  return Promise.race([
    died,
    perform({ scratch, brokerUrl: broker.url, keyFile: daemon.keyFile, pack, stage, view }, signal),
  ]);
}

interface Cast {
  readonly scratch: string;
  readonly brokerUrl: string;
  readonly keyFile: string;
  readonly pack: DemoPack;
  readonly stage: Stage;
  readonly view: View;
}

async function perform(
  { scratch, brokerUrl, keyFile, pack, stage, view }: Cast,
  signal: AbortSignal,
) {
  const clock = createClock();
  const random = createRandom();
  const showCamera = (status: Status): void => {
    const [camera] = status.cameras;
    const people =
      status.doorkeeper.tracks === 0 ? "nobody" : `${status.doorkeeper.tracks} person(s)`;
    view.camera(camera?.status ?? "missing", `· ${camera?.fps ?? 0} fps · ${people} in view`);
  };
  using device = await Device.connect(scratch, clock, signal);
  const { deviceKey, provider } = await device.untilReady(showCamera, signal);
  view.fact("inference", provider ?? "none");
  const mqtt = MqttOptions.parse({ url: brokerUrl, site: SITE, device: DEVICE });
  const heard = new Heard(clock, view);
  await using feed = await Feed.open(
    { mqtt, publicKey: deviceKey.publicKey },
    clock,
    heard,
    signal,
  );
  const signer = await readSigner(keyFile);
  await using commands = await CommandClient.open(
    mqtt,
    { clock, signer, newId: () => random.id(clock.epochMs()) },
    signal,
  );
  const done = new AbortController();
  const watching = device.watch(showCamera, AbortSignal.any([signal, done.signal]));
  const acts = await playActs({ decisions: heard, commands, stage, view, clock, signal }).finally(
    () => done.abort(),
  );
  await watching;
  const facts: DemoFacts = {
    packId: pack.id,
    models: pack.origin,
    demoOnly: pack.demoOnly,
    provider: provider ?? "none",
    verified: feed.verified,
    refused: feed.refused,
  };
  return { acts, facts };
}

/** What a daemon says last is why it ended. */
const lastLine = (output: string): string => output.split("\n").at(-1) || "it said nothing";

async function builtInStage(
  scratch: string,
  children: Children,
  signal: AbortSignal,
): Promise<Stage> {
  const clips = await makeClips(await findPortrait(ROOT), scratch, signal);
  return clipStage(await startRtspCamera(children, clips, ROOT), clips);
}
