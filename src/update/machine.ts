/** How hot this machine is. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

const THERMAL = "/sys/class/thermal";

/** The hottest of the kernel's thermal zones, °C; undefined where there are none. */
export async function temperatureC(directory: string = THERMAL): Promise<number | undefined> {
  const zones = await readdir(directory).catch(() => []);
  const readings = await Promise.all(
    zones
      .filter((name) => name.startsWith("thermal_zone"))
      // A zone whose sensor is off cannot be read.
      .map((name) => readFile(join(directory, name, "temp"), "utf8").catch(() => "")),
  );
  const celsius = readings
    .filter((text) => /^-?\d+\s*$/.test(text))
    .map((text) => Number(text) / 1000);
  return celsius.length === 0 ? undefined : Math.max(...celsius);
}
