"""How is a training step computed: in which numbers, and by which kernels?"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn

Precision = Literal["auto", "fp32", "bf16", "fp16"]


class Arithmetic:
    """Mixed precision: the network runs in 16 bits where that is safe, its weights and the loss stay in 32.

    bf16 has the range of fp32. fp16 has not: its loss is multiplied by a scale, and a step whose gradients overflow is
    skipped and the scale halved (Micikevicius et al. 2017, https://arxiv.org/abs/1710.03740).
    """

    def __init__(self, precision: Precision, device: torch.device) -> None:
        self.device = device
        self.precision = _usual(device) if precision == "auto" else precision
        self._dtype = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[self.precision]
        self._scaler = torch.amp.GradScaler(device.type) if self.precision == "fp16" else None

    def autocast(self) -> AbstractContextManager[Any]:
        """What the network runs in."""
        return nullcontext() if self._dtype is None else torch.autocast(self.device.type, self._dtype)

    def full(self, output: Any) -> Any:
        """An output with its numbers in 32 bits, for the loss."""
        if self._dtype is None:
            return output
        if isinstance(output, Tensor):
            return output.float() if output.is_floating_point() else output
        if isinstance(output, Mapping):
            return {name: self.full(value) for name, value in output.items()}
        return type(output)(map(self.full, output)) if isinstance(output, (list, tuple)) else output

    def backward(self, loss: Tensor) -> None:
        """Add to the gradients; they stay scaled until `unscale`."""
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """The true gradients."""
        if self._scaler is not None:
            self._scaler.unscale_(optimizer)

    def may_overflow(self) -> bool:
        """Whether gradients that are not finite may be the scale's fault, so that the step is to be skipped."""
        return self._scaler is not None and self._scaler.get_scale() > 1

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """One step of the optimiser, or none where the gradients overflowed."""
        if self._scaler is None:
            optimizer.step()
        else:
            self._scaler.step(optimizer)
            self._scaler.update()

    def state(self) -> dict[str, float]:
        """The scale and how long it has held."""
        return {} if self._scaler is None else self._scaler.state_dict()

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from what `state` gave."""
        if self._scaler is not None:
            self._scaler.load_state_dict(dict(state))


def generators_kept(device: torch.device) -> AbstractContextManager[Any]:
    """Inside, random numbers may be drawn; afterwards PyTorch's generators are as they were."""
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


def _usual(device: torch.device) -> Precision:
    """16 bits where the hardware has units for them, bf16 before fp16."""
    if device.type != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def compiled(network: nn.Module) -> tuple[Any, str]:
    """The network with its layers fused into kernels made for it, and ""; or itself, and a sentence on why not.

    Weights and modes stay the network's own.
    """
    try:
        torch.compile(lambda x: x.sin() + 1)(torch.ones(8, device=next(network.parameters()).device))
    except (RuntimeError, OSError, ImportError) as error:  # all that PyTorch raises without a compiler
        why = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        return network, f"Training is not compiled: {why.strip()}"
    return torch.compile(network), ""
