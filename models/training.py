"""What every training here shares: how it begins, takes a step, and says how far it is."""

from __future__ import annotations

import contextlib
import ctypes
import json
import time
from argparse import Namespace
from pathlib import Path

import torch
from torch import Tensor, nn

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # malloc.h


def begin(args: Namespace) -> Log:
    """Seed and threads as the options say; the log is in the folder ``args.out``."""
    keep_freed_memory()
    torch.manual_seed(args.seed)
    if args.threads:
        torch.set_num_threads(args.threads)
    return Log(args.out)


def mixed_precision(device: str = "cpu") -> torch.autocast:
    """Products in bfloat16 where the device multiplies it. A processor without such instructions
    takes seven times as long for it as for float32, and for its gradients 36 times.
    """
    able = torch.cpu.get_capabilities()
    fast = device != "cpu" or any(able.get(f) for f in ("avx512_bf16", "amx_bf16", "bf16"))
    return torch.autocast(device, torch.bfloat16, enabled=fast)


class Log:
    """A row of ``log.jsonl`` for each call, with the seconds since the training began."""

    def __init__(self, folder: Path) -> None:
        self.started = time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / "log.jsonl").open("w")

    def start(self, args: Namespace, **values: object) -> None:
        self(stage="start", **values, args={name: str(value) for name, value in vars(args).items()})

    def __call__(self, **values: object) -> None:
        values["seconds"] = round(time.monotonic() - self.started)
        self._file.write(json.dumps(values) + "\n")
        self._file.flush()
        print(values, flush=True)


class Means(dict[str, float]):
    """A running mean of each loss term."""

    def note(self, terms: dict[str, Tensor]) -> None:
        for name, term in terms.items():
            self[name] = 0.98 * self.get(name, term.item()) + 0.02 * term.item()

    def rounded(self) -> dict[str, float]:
        return {name: round(mean, 3) for name, mean in self.items()}


def one_cycle(
    groups: list[tuple[list[nn.Parameter], float, float]], steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.OneCycleLR]:
    """AdamW and a one-cycle schedule over (parameters, learning rate, weight decay) groups."""
    optimiser = torch.optim.AdamW(
        [{"params": p, "lr": lr, "weight_decay": d} for p, lr, d in groups]
    )
    peak = [lr for _, lr, _ in groups]
    return optimiser, torch.optim.lr_scheduler.OneCycleLR(
        optimiser, peak, total_steps=max(steps, 1) + 1, pct_start=0.1
    )


def take_step(
    terms: dict[str, Tensor],
    parameters: list[nn.Parameter],
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.OneCycleLR | None = None,
) -> None:
    """One update by the sum of the loss terms, its gradient's norm at most 1."""
    optimiser.zero_grad()
    torch.stack(list(terms.values())).sum().backward()
    nn.utils.clip_grad_norm_(parameters, 1.0)
    optimiser.step()
    if schedule is not None:
        schedule.step()


def keep_freed_memory() -> None:
    """Let glibc reuse large blocks: mapping them anew takes longer than computing a layer."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)
        libc.mallopt(M_TOP_PAD, 1 << 28)
