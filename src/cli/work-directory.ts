// Where a verb keeps unfinished work, beside its output: found again only by the same command on the same
// inputs, so that half of one thing is never joined to half of another. It does NOT know what work it is.
import { existsSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { fail } from "../errors";
import { hashJson, makeDirectory, readJson, writeFileAtomic } from "../files";
import { takeLock } from "../lock";
import { scratchDirectory } from "../run/store";

/**
 * Runs `use` in `<output>.work`, made or found there. What `use` leaves in it stays, for the next time.
 * @param identity all that decides the result: options, and keys of the inputs
 * @throws ERR_CONFIG when what is there belongs to another command, ERR_BUSY while another process works in it
 */
export async function inWork<T>(
  output: string,
  identity: unknown,
  use: (work: string) => Promise<T>,
): Promise<T> {
  const work = `${output}.work`;
  await makeDirectory(work);
  const unlock = await takeLock(join(work, "lock"), `writing ${output}`);
  try {
    await claim(work, hashJson(identity));
    return await use(work);
  } finally {
    await unlock();
  }
}

/** Whether anything would be lost: what is kept for a resumption lies in the scratch directory. */
async function holdsWork(work: string): Promise<boolean> {
  const entries = await readdir(scratchDirectory(work), { recursive: true, withFileTypes: true }).catch(() => []);
  const sizes = entries
    .filter((entry) => entry.isFile())
    .map(async (entry) => (await stat(join(entry.parentPath, entry.name))).size);
  return (await Promise.all(sizes)).some((size) => size > 0);
}

async function claim(work: string, key: string): Promise<void> {
  const path = join(work, "identity.json");
  if (existsSync(path) && (await readJson(path)) !== key && (await holdsWork(work))) {
    fail(
      "ERR_CONFIG",
      `${work}: holds unfinished work with other inputs or options; remove it to start anew, or ` +
        "choose another --output",
      { path: work },
    );
  }
  await writeFileAtomic(path, JSON.stringify(key));
}
