/** Entry of the process that tries a pack: opens its models on the CPU, which runs the golden vectors. */
import { codeOf, messageOf } from "../../src/lib/fault.ts";
import { VisionOptions } from "../../src/observation/messages.ts";
import { Models } from "../../src/vision/models.ts";

const [directory = ""] = process.argv.slice(2);
try {
  await using _models = await Models.open(directory, VisionOptions.parse({ providers: ["cpu"] }));
  process.send?.({});
} catch (thrown) {
  process.send?.({ code: codeOf(thrown), message: messageOf(thrown) });
}
process.disconnect?.();
