"""Layers by their names, with and without the wrapper's; a wrong one is answered with the nearest."""

from __future__ import annotations

from torch import nn

from seewhy.shelf import nearest

#: The attribute under which a wrapper that normalises its input holds the network; names work with and without it.
BODY = "body."


def resolve(network: nn.Module, name: str) -> str:
    """The name under which the network itself knows a layer; "layer4" also stands for "body.layer4" and back.

    Raises KeyError with the nearest name where there is none.
    """
    modules = {alias: module for alias, module in network.named_modules(remove_duplicate=False) if alias}
    for known in (name, BODY + name, name.removeprefix(BODY)):
        if known in modules:
            return next(first for first, module in modules.items() if module is modules[known])
    meant = nearest(name, {*modules, *(alias.removeprefix(BODY) for alias in modules)})
    shown = ", ".join(list(modules)[:12]) + (f" and {len(modules) - 12} more" if len(modules) > 12 else "")
    raise KeyError(f"No layer {name!r}. {meant}There are: {shown}.")


def submodule(network: nn.Module, name: str) -> nn.Module:
    module: nn.Module | None = network
    for part in name.split("."):  # a walk over all modules finds aliases and wrappers; most names need none
        module = None if module is None else module._modules.get(part)
    return network.get_submodule(resolve(network, name)) if module is None else module
