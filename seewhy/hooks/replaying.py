"""Running the head of a network alone: what lies before a layer gives again what it gave, without being run.

    with hooks.recording(network, "layer3") as trunk:
        network(**inputs)
    with hooks.replaying(network, trunk, {"layer3": lambda x: changed}, copies=64):
        output = network(**sixty_four_times(inputs))

Modules that ended before the layer did are replayed; functions between them, such as the addition of a residual, run
as they are. So no network needs to be cut in two by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from seewhy.hooks.contexts import hooked
from seewhy.hooks.names import modules, resolve
from seewhy.hooks.structures import first_tensor, mapped


@dataclass(eq=False)
class Trunk:
    """What the outermost modules that end before a layer put out, and the layer itself, by name."""

    layer: str
    outputs: dict[str, Any] = field(default_factory=dict)


@contextmanager
def recording(network: nn.Module, layer: str) -> Iterator[Trunk]:
    """A Trunk that fills while the network runs once. Raises KeyError where there is no such layer.

    A module that runs twice is not recorded, nor is one that the layer is part of.
    """
    name = resolve(network, layer)
    trunk, through = Trunk(name), [False]
    twice: set[str] = set()

    def keep(part):
        def hook(module, arguments, output):
            if through[0]:
                twice.update({part} & trunk.outputs.keys())
                return
            for inner in [known for known in trunk.outputs if known.startswith(f"{part}.")]:
                del trunk.outputs[inner]
            if part in trunk.outputs:
                twice.add(part)
            trunk.outputs[part] = mapped(output, lambda tensor: tensor.detach().clone())
            through[0] = part == name

        return hook

    with hooked((module, keep(part)) for part, module in modules(network) if part):
        yield trunk
    for part in twice:
        trunk.outputs.pop(part, None)


@contextmanager
def replaying(network: nn.Module, trunk: Trunk, change: Callable[[Tensor], Tensor], *, copies: int) -> Iterator[None]:
    """While the block runs, the recorded modules give what they gave, `copies` times over, and the layer its change.

    `change` is given the layer's first tensor, repeated, and gives one of the same shape.
    """
    replaced: list[tuple[nn.Module, Any]] = []

    def again(part):
        def forward(*arguments, **named):
            return mapped(trunk.outputs[part], lambda x: x.repeat(copies, *[1] * (x.ndim - 1)) if x.ndim else x)

        return forward

    def exchange(module, arguments, output):
        first = first_tensor(output, trunk.layer)
        changed = change(first)
        return mapped(output, lambda tensor: changed if tensor is first else tensor)

    try:
        for part in trunk.outputs:
            module = network.get_submodule(part)
            replaced.append((module, module.__dict__.get("forward")))
            module.forward = again(part)
        with hooked([(network.get_submodule(trunk.layer), exchange)]):
            yield
    finally:
        for module, before in replaced:
            if before is None:
                module.__dict__.pop("forward", None)
            else:
                module.forward = before
