"""Contexts that freeze, read and change a network while it runs, and put everything back, errors included."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from seewhy.hooks.names import modules, submodule
from seewhy.hooks.structures import first_tensor, mapped


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode, its parameters without gradients; then all flags and generators as before.

    Each module gets back its own mode. `train` and `eval` are not called: some modules fold their weights there.
    """
    parts = [module for _, module in modules(network)]
    training = [module for module in parts if module.training]
    parameters = [entry for module in parts for entry in module._parameters.values() if entry is not None]
    learning = [parameter for parameter in parameters if parameter.requires_grad]
    devices: set[torch.device] = set()
    if torch.cuda.is_initialized():  # else there is no other generator that could be drawn from
        buffers = (entry for module in parts for entry in module._buffers.values() if entry is not None)
        devices.update(entry.device for entry in (*parameters, *buffers) if entry.device.type == "cuda")
    with torch.random.fork_rng(devices=sorted(devices, key=str)):
        try:
            for module in training:
                module.training = False
            for parameter in learning:
                parameter.requires_grad_(False)
            yield
        finally:
            for module in training:
                module.training = True
            for parameter in learning:
                parameter.requires_grad_(True)


@contextmanager
def read(network: nn.Module, names: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """A dict that fills as the network runs: by layer, the first tensor it put out at its last use.

    The tensors are copies, so that what comes after (a ReLU in place) leaves them alone, and differentiable where the
    run is. A layer that does not run is not in the dict. Raises KeyError where there is no such layer.
    """
    seen: dict[str, Tensor] = {}

    def keep(name):
        def hook(module, arguments, output):
            seen[name] = first_tensor(output, name).clone()

        return hook

    with hooked((submodule(network, name), keep(name)) for name in names):
        yield seen


@contextmanager
def change(network: nn.Module, changes: Mapping[str, Callable[[Tensor], Tensor]]) -> Iterator[None]:
    """While the block runs, each of these layers puts out what its function makes of its output.

    Of an output with several tensors the first is changed; of a layer that is used twice, each use. Raises KeyError
    where there is no such layer.
    """

    def exchange(name, function):
        def hook(module, arguments, output):
            first = first_tensor(output, name)
            changed = function(first)
            return mapped(output, lambda tensor: changed if tensor is first else tensor)

        return hook

    with hooked((submodule(network, name), exchange(name, function)) for name, function in changes.items()):
        yield


@contextmanager
def hooked(hooks: Iterable[tuple[nn.Module, Callable[..., Any]]]) -> Iterator[None]:
    handles = []
    try:
        for module, hook in hooks:
            handles.append(module.register_forward_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()


def run(network: nn.Module, inputs: Mapping[str, Any], *, at: str | None = None) -> Any:
    """The network's output, or the activation of one layer: what the score of a question asked at that layer reads."""
    if at is None:
        return network(**inputs)
    with read(network, [at]) as seen:
        network(**inputs)
    if at not in seen:
        raise ValueError(f"The layer {at!r}, of which the question is asked, did not run")
    return seen[at]
