"""Layers by their names, with and without the wrapper's; a wrong one is answered with the nearest."""

from __future__ import annotations

from torch import nn

from seewhy.shelf import nearest

#: The attribute under which a wrapper that normalises its input holds the network; names work with and without it.
BODY = "body."


def modules(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """What `named_modules` gives, in its order, in a third of its time: every module once, by its first name."""
    found = [("", network)]
    seen = {network}

    def into(module: nn.Module, prefix: str) -> None:
        for name, child in module._modules.items():
            if child is not None and child not in seen:
                seen.add(child)
                found.append((prefix + name, child))
                if child._modules:
                    into(child, f"{prefix}{name}.")

    into(network, "")
    return found


def resolve(network: nn.Module, name: str) -> str:
    """The name under which the network itself knows a layer; "layer4" also stands for "body.layer4" and back.

    Raises KeyError with the nearest name where there is none.
    """
    for known in (name, BODY + name, name.removeprefix(BODY)):
        module = _at(network, known)
        if module is not None and module is not network:
            return next(first for first, each in modules(network) if each is module)
    aliases = [alias for alias, _ in network.named_modules(remove_duplicate=False) if alias]
    meant = nearest(name, {*aliases, *(alias.removeprefix(BODY) for alias in aliases)})
    shown = ", ".join(aliases[:12]) + (f" and {len(aliases) - 12} more" if len(aliases) > 12 else "")
    raise KeyError(f"No layer {name!r}. {meant}There are: {shown}.")


def submodule(network: nn.Module, name: str) -> nn.Module:
    module = _at(network, name)
    return network.get_submodule(resolve(network, name)) if module is None else module


def _at(network: nn.Module, name: str) -> nn.Module | None:
    module: nn.Module | None = network
    for part in name.split("."):
        module = None if module is None else module._modules.get(part)
    return module
