"""PyTorch's training step, timed: SFT, or DPO as the usual loop has it (chosen and rejected concatenated, prompt twice,
reference forward in every step). Forward, backward, clipping by global norm and AdamW, as in our own step.

    train.py --config bench/configs/small.json --mode sft --batch 8 --length 256 --dtype bfloat16 --rounds 3
    train.py --config bench/configs/small.json --mode dpo --batch 4 --prompt 256 --answer 256
"""
import copy
import time

import peer


def options():
    parser = peer.arguments("PyTorch peer: one training step a round")
    parser.add_argument("--mode", choices=("sft", "dpo"), default="sft")
    parser.add_argument("--length", type=peer.positive, default=256, help="tokens of a sequence, where --prompt is not given")
    parser.add_argument("--prompt", type=int, default=0, help="tokens of each sequence that carry no loss")
    parser.add_argument("--answer", type=int, help="tokens of each sequence that do (default: length - prompt)")
    parser.add_argument("--steps", type=peer.positive, default=1, help="steps in a round; times are per step")
    parsed = parser.parse_args()
    if parsed.answer is not None:
        parsed.length = parsed.prompt + parsed.answer
    if parsed.form in ("static", "transformers-static"):
        parser.error(f"--form is {parsed.form}, which is a way to decode")
    if not 0 <= parsed.prompt < parsed.length:
        parser.error(f"--prompt is {parsed.prompt}, expected 0 .. {parsed.length - 1} for sequences of {parsed.length}")
    return parsed


class Trainer:
    """batch sequences (SFT) or pairs (DPO) of random tokens, the same in each step."""

    def __init__(self, torch, config, opts):
        self.torch, self.opts = torch, opts
        self.model = self.make_model(config)
        self.reference = copy.deepcopy(self.model).requires_grad_(False) if opts.mode == "dpo" else None
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, **self.fused())
        # Compiled after the optimizer has taken the parameters: a compiled model is called, not looked into.
        self.logits = torch.compile(self.compute_logits) if opts.form == "compile" else self.compute_logits
        sequences = opts.batch * (2 if opts.mode == "dpo" else 1)
        rows = torch.randint(config["vocab_size"], (sequences, opts.length + 1))
        if opts.mode == "dpo":  # chosen above, rejected below, each pair under one prompt
            rows[opts.batch:, :opts.prompt + 1] = rows[:opts.batch, :opts.prompt + 1]
        rows = rows.to(opts.device)
        self.tokens, self.targets = rows[:, :-1], rows[:, 1:].clone()
        # One more token than rows: every row has a target, the first `prompt` of them without weight.
        self.targets[:, :opts.prompt] = -100
        self.scored = (self.targets != -100).float()

    def fused(self):
        """AdamW in one kernel: on a GPU always, on a CPU from PyTorch 2.4 on."""
        has = self.opts.device == "cuda" or peer.version(self.torch) >= (2, 4)
        return {"fused": True} if has else {}

    def make_model(self, config):
        if self.opts.form == "transformers":
            return peer.transformers_model(self.torch, self.opts, config, self.torch.float32)
        from llama import Llama
        with peer.on_device(self.torch, self.opts):
            return Llama(config, self.opts.length).to(self.opts.device)

    def compute_logits(self, model):
        if self.opts.form == "transformers":
            return model(self.tokens, use_cache=False).logits.float()
        return model.head(model(self.tokens)).float()

    def sft_loss(self):
        logits = self.logits(self.model)
        return self.torch.nn.functional.cross_entropy(logits.flatten(0, 1), self.targets.flatten())

    def sequence_logps(self, model):
        logits = self.logits(model).log_softmax(-1)
        return (logits.gather(2, self.targets.clamp(min=0)[..., None])[..., 0] * self.scored).sum(-1)

    def dpo_loss(self, beta=0.1):
        with self.torch.no_grad():
            reference = self.sequence_logps(self.reference)
        chosen, rejected = (self.sequence_logps(self.model) - reference).chunk(2)
        return -self.torch.nn.functional.logsigmoid(beta * (chosen - rejected)).mean()

    def step(self):
        with self.torch.autocast(self.opts.device, self.torch.bfloat16, enabled=self.opts.dtype == "bfloat16"):
            loss = self.sft_loss() if self.opts.mode == "sft" else self.dpo_loss()
        loss.backward()
        self.torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()


def main():
    opts = options()
    peer.enter_best_form(opts)
    torch = peer.import_torch(opts)
    config = peer.read_config(opts.config)
    trainer = Trainer(torch, config, opts)
    # Backward costs twice the forward; the causal half of the attention counts; DPO adds the reference's forward.
    passes = 3 if opts.mode == "sft" else 4
    flops_per_token = passes * peer.forward_flops(config, opts.length / 2)

    def round_of(_):
        started = time.perf_counter()
        for _ in range(opts.steps):
            loss = trainer.step()
        seconds = (time.perf_counter() - started) / opts.steps
        rate = trainer.tokens.numel() / seconds
        pairs = {"pairs_per_second": opts.batch / seconds} if opts.mode == "dpo" else {}
        return {"tokens_per_second": rate, "step_ms": seconds * 1e3, "flops_per_second": rate * flops_per_token,
                "loss": loss, **pairs}

    peer.serve(opts, torch, round_of)


if __name__ == "__main__":
    main()
