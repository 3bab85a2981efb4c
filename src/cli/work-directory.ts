// Where a verb keeps unfinished work, beside its output: found again only by the same command on the same
// inputs, so that half of one thing is never joined to half of another. It does NOT know what work it is.
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fail } from "../errors";
import { hashJson, ioError, readJson, writeFileAtomic } from "../files";

/**
 * Makes or finds `<output>.work`.
 * @param identity all that decides the result: options, and keys of the inputs
 * @throws ERR_CONFIG when what is there belongs to another command
 */
export async function openWork(output: string, identity: unknown): Promise<string> {
  const work = `${output}.work`;
  const path = join(work, "identity.json");
  const key = hashJson(identity);
  await mkdir(work, { recursive: true }).catch((error: unknown) => {
    throw ioError(error, "make", work);
  });
  if (existsSync(path) && (await readJson(path)) !== key) {
    fail(
      "ERR_CONFIG",
      `${work}: holds unfinished work with other inputs or options; remove it to start anew, or ` +
        "choose another --output",
      { path: work },
    );
  }
  await writeFileAtomic(path, JSON.stringify(key));
  return work;
}
