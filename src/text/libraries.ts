// The only file that loads @huggingface/tokenizers and @huggingface/jinja. Both ship CommonJS code under typings marked
// as ES modules, which the compiler refuses in a CommonJS file: so the types are imported, the code is required.
import { createRequire } from "node:module";
import type * as Jinja from "@huggingface/jinja" with { "resolution-mode": "import" };
import type * as Tokenizers from "@huggingface/tokenizers" with { "resolution-mode": "import" };

const load = createRequire(__filename);

export const TokenizerEngine = (load("@huggingface/tokenizers") as typeof Tokenizers).Tokenizer;
export type TokenizerEngine = Tokenizers.Tokenizer;
export const JinjaTemplate = (load("@huggingface/jinja") as typeof Jinja).Template;
export type JinjaTemplate = Jinja.Template;
