/** A decoder: real ffmpeg that plays a clip as NV12 in NUT into a socket which nobody reads yet. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { end, exited } from "./children.ts";
import { within } from "./waiting.ts";

export interface NutSource extends AsyncDisposable {
  readonly socket: Socket;
  readonly decoder: ChildProcess;
}

/** @param input arguments that name ffmpeg's input, for example `["-stream_loop", "-1", "-i", FILE]` */
export async function openNutSource(
  input: readonly string[],
  size: string,
  fps: number,
): Promise<NutSource> {
  const directory = mkdtempSync(join(tmpdir(), "ostiary-nut-"));
  const path = join(directory, "frames.sock");
  const server = createServer({ pauseOnConnect: true });
  await new Promise<void>((resolve) => {
    server.listen(path, resolve);
  });
  const filter = `fps=${fps},scale=${size}`;
  const decoder = spawn(
    "ffmpeg",
    [
      "-v",
      "error",
      "-re",
      ...input,
      "-vf",
      filter,
      "-pix_fmt",
      "nv12",
      "-c:v",
      "rawvideo",
      "-f",
      "nut",
      `unix:${path}`,
    ],
    { stdio: "ignore" },
  );
  const connected = once(server, "connection").then(([socket]) => socket as Socket);
  const failed = exited(decoder).then(() => {
    throw new Error(`ffmpeg ended before it connected: ${input.join(" ")}`);
  });
  failed.catch(() => undefined);
  const socket = await within(Promise.race([connected, failed]), "ffmpeg connects");
  return {
    socket,
    decoder,
    [Symbol.asyncDispose]: async () => {
      await end(decoder, "SIGKILL");
      socket.destroy();
      server.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
