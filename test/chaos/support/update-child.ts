/** The process that is killed: one life of an update. `argv: root` */
import { live } from "./update-device.ts";

await live(process.argv[2] ?? "");
