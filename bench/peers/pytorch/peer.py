"""What both PyTorch peers share: devices and forms, the process in its best form, the protocol on stdout, FLOPs.

Import this before torch: the allocator is preloaded and the thread count set by starting the process again.
It does not know the model.
"""
import argparse
import contextlib
import json
import os
import pathlib
import resource
import sys
import time

PEER = "pytorch"
FORMS = ("eager", "compile", "static", "transformers", "transformers-static")
TCMALLOC = ("libtcmalloc_minimal.so.4", "libtcmalloc.so.4")


def positive(text):
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a positive integer")
    return int(text)


def arguments(description):
    """The options common to both scripts; the caller adds its own."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--config", required=True, help="Hugging Face config.json of a Llama model")
    parser.add_argument("--batch", type=positive, default=8, help="sequences (train --mode dpo: pairs)")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--threads", type=positive, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--form", choices=FORMS, default="eager",
                        help="of the model: eager PyTorch, torch.compile, a recorded step over a static cache (decoding), "
                        "or transformers' LlamaForCausalLM, with its dynamic or static cache")
    parser.add_argument("--rounds", type=positive, default=3, help="measured rounds, after one warm-up round")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--allocator", choices=("tcmalloc", "glibc"), default="tcmalloc",
                        help="tcmalloc where it is installed: PyTorch's best form; glibc: as installed")
    parser.add_argument("--interleave", action="store_true", help="one round for each line read from stdin")
    parser.add_argument("--json", action="store_true", help="accepted for symmetry: the output is always JSON lines")
    return parser


def enter_best_form(options):
    """Starts this process again with the allocator preloaded and OpenMP sized; returns in the process that has both."""
    if options.device != "cpu" or os.environ.get("SELFREFINE_PEER") == "ready":
        return
    environment = dict(os.environ, SELFREFINE_PEER="ready", OMP_NUM_THREADS=str(options.threads))
    library = next(filter(None, map(library_path, TCMALLOC)), None)
    if options.allocator == "tcmalloc" and library:
        environment.update(LD_PRELOAD=library, TCMALLOC_LARGE_ALLOC_REPORT_THRESHOLD=str(1 << 40))
    os.execve(sys.executable, [sys.executable, *sys.argv], environment)


def library_path(name):
    folders = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib")
    return next((path for folder in folders if os.path.exists(path := f"{folder}/{name}")), None)


def leave(reason, remedy):
    """An absent peer is a result, not a failure: a status line and a clean exit."""
    emit({"peer": PEER, "status": "not installed", "reason": reason, "remedy": remedy})
    sys.exit(0)


def import_torch(options):
    """torch, ready for the device and form, or leave()."""
    try:
        import torch
    except ImportError as error:
        leave(str(error), "apt-get install python3-torch libopenblas0-openmp libtcmalloc-minimal4"
              if options.device == "cpu" else "pip install torch")
    if options.device == "cuda" and not torch.cuda.is_available():
        leave("torch sees no GPU", "pip install torch, built for this machine's CUDA")
    if options.form == "compile" and not hasattr(torch, "compile"):
        leave(f"torch {torch.__version__} has no torch.compile", "torch 2.0 or newer")
    if options.device == "cpu":
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    return torch


def on_device(torch, options):
    """Tensors are made where they are to lie: random numbers for a billion weights take a CPU ten seconds."""
    return torch.device(options.device) if options.device == "cuda" else contextlib.nullcontext()


def transformers_model(torch, options, config, dtype):
    """A LlamaForCausalLM of random weights on the device, or leave()."""
    try:
        from transformers import LlamaConfig, LlamaForCausalLM
    except ImportError as error:
        leave(str(error), "pip install transformers")
    with torch.device(options.device):
        model = LlamaForCausalLM(LlamaConfig.from_dict(config, attn_implementation="sdpa"))
    return model.to(dtype)


def finish(torch, options):
    """Waits for the device: only then has the clock seen the work."""
    if options.device == "cuda":
        torch.cuda.synchronize()


def version(torch):
    return tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])


def loaded_libraries(torch):
    """Which allocator and BLAS this process really runs on, from its own memory map; PyPI's PyTorch has MKL inside."""
    mapped = {line.split("/")[-1].strip() for line in pathlib.Path("/proc/self/maps").read_text().splitlines()}
    allocator = next((name for name in mapped if name.startswith("libtcmalloc")), "glibc")
    # With MKL inside, an OpenBLAS that is mapped is numpy's.
    blas = "MKL" if torch.backends.mkl.is_available() else next(
        (name for name in mapped if "openblas" in name or "blis" in name), "reference BLAS")
    return {"allocator": allocator, "blas": blas}


def read_config(path):
    """The config with its head_dim; ends the process with a message where it is not a Llama."""
    try:
        config = json.loads(pathlib.Path(path).read_text())
    except (OSError, ValueError) as error:
        sys.exit(f"{PEER}: --config {path}: {error}")
    if config.get("model_type") != "llama":
        sys.exit(f"{PEER}: --config {path}: model_type is {config.get('model_type')!r}, expected 'llama'")
    config.setdefault("head_dim", config["hidden_size"] // config["num_attention_heads"])
    return config


def forward_flops(config, attended):
    """FLOPs of one token forward: 2 per matmul weight (head included) and 4 D per head and attended position."""
    hidden, heads, head_dim = config["hidden_size"], config["num_attention_heads"], config["head_dim"]
    attention_rows = (2 * heads + 2 * config["num_key_value_heads"]) * head_dim
    layer = hidden * attention_rows + 3 * hidden * config["intermediate_size"]
    weights = config["num_hidden_layers"] * layer + hidden * config["vocab_size"]
    return 2 * weights + 4 * config["num_hidden_layers"] * heads * head_dim * attended


def peak_bytes(options):
    if options.device == "cuda":
        import torch
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def emit(record):
    print(json.dumps(record), flush=True)


def serve(options, torch, round_of):
    """Status line, a warm-up round, then one JSON line per measured round; round_of(index) returns its fields.

    With --interleave a round starts for each line read and the process ends with stdin, so that a bench can
    alternate peers within the same seconds; else --rounds of them run back to back.
    """
    started = time.perf_counter()
    round_of(-1)
    emit({"peer": PEER, "status": "ready", "version": torch.__version__, "threads": options.threads, "dtype": options.dtype,
          "device": options.device, "form": options.form,
          **loaded_libraries(torch), "warmup_ms": (time.perf_counter() - started) * 1e3})
    triggers = sys.stdin if options.interleave else range(options.rounds)
    for index, _ in enumerate(triggers):
        emit({"peer": PEER, "round": index, **round_of(index), "peak_bytes": peak_bytes(options)})
