/** A Mosquitto of the demo's own, on loopback. */
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Children, freePort, untilListening } from "./processes.ts";

export interface Broker {
  readonly url: string;
}

export async function startBroker(
  children: Children,
  directory: string,
  signal: AbortSignal,
): Promise<Broker> {
  const port = await freePort();
  const config = join(directory, "mosquitto.conf");
  // Anonymous is fine here: what opens a door is signed, and only this machine can connect.
  await writeFile(config, `listener ${port} 127.0.0.1\nallow_anonymous true\npersistence false\n`);
  const program = existsSync("/usr/sbin/mosquitto") ? "/usr/sbin/mosquitto" : "mosquitto";
  const child = children.start(program, ["-c", config]);
  await untilListening(port, child, "Mosquitto", signal);
  return { url: `mqtt://127.0.0.1:${port}` };
}
