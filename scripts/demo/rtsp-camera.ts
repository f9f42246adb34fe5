/** The demo's camera: an RTSP server that shows an empty corridor, and on request a person walking up. */
import { join } from "node:path";
import { Fault } from "../../src/lib/fault.ts";
import type { Clips } from "./clip.ts";
import type { Children } from "./processes.ts";

export interface RtspCamera {
  readonly url: string;
  readonly play: (clip: string) => void;
}

const NAME = "entrance";

/** The OS's Python has the GStreamer bindings; the one of a virtual environment has not. */
const PYTHON = "/usr/bin/python3";

export async function startRtspCamera(
  children: Children,
  clips: Clips,
  root: string,
): Promise<RtspCamera> {
  const first = Promise.withResolvers<string>();
  const server = join(root, "scripts/demo/rtsp-server.py");
  const child = children.start(PYTHON, [server, `${NAME}=${clips.idle}`], {
    onLine: first.resolve,
  });
  const line = await Promise.race([first.promise, child.ended.then(() => undefined)]);
  if (line === undefined) {
    throw new Fault(
      "child_failed",
      `the RTSP server did not start: ${child.output() || "it said nothing"}; run scripts/setup.sh`,
    );
  }
  const { port } = JSON.parse(line) as { readonly port: number };
  return {
    url: `rtsp://127.0.0.1:${port}/${NAME}`,
    play: (clip) => void child.process.stdin?.write(`${JSON.stringify({ play: NAME, clip })}\n`),
  };
}
