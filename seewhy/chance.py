"""Which random numbers does an example get? The same ones, however the work is divided.

Order and augmentation are pure functions of (seed, epoch, example id): no generator is advanced, so the number of
workers, the size of a batch or the number of machines changes nothing, and a resumed run needs no state. The numbers
come from splitmix64 (Steele, Lea and Flood 2014, https://doi.org/10.1145/2660193.2660195) run as a counter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

# 64-bit constants of splitmix64, written as the signed numbers that torch's int64 holds.
GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
MIX_A = 0xBF58476D1CE4E5B9 - (1 << 64)
MIX_B = 0x94D049BB133111EB - (1 << 64)


def keys(ids: Sequence[str]) -> Int[Tensor, " examples"]:
    """A 64-bit number for each id, equal in every process (Python's own `hash` is not)."""
    digests = [hashlib.blake2b(id.encode("utf-8", "surrogatepass"), digest_size=8).digest() for id in ids]
    return torch.tensor([int.from_bytes(digest, "little", signed=True) for digest in digests], dtype=torch.int64)


def uniform(
    keys: Int[Tensor, " examples"], *, seed: int, stream: str, draws: int = 1
) -> Float[Tensor, "examples draws"]:
    """Numbers in [0, 1), `draws` an example; `stream` ("epoch 3 flip") keeps different uses apart."""
    name = hashlib.blake2b(f"{seed} {stream}".encode(), digest_size=8).digest()
    start = _mix(keys ^ int.from_bytes(name, "little", signed=True))
    counter = torch.arange(1, draws + 1, dtype=torch.int64, device=keys.device)
    bits = _mix(start[:, None] + GOLDEN * counter)
    return ((bits >> 11) & ((1 << 53) - 1)).double().mul_(2.0**-53).float().clamp_(max=1 - 2**-24)


def order(keys: Int[Tensor, " examples"], *, seed: int, epoch: int) -> Int[Tensor, " examples"]:
    """A permutation of the examples; it follows the ids, not the places at which they happen to stand."""
    drawn = uniform(keys, seed=seed, stream=f"order of epoch {epoch}", draws=2).double()
    drawn = drawn[:, 0] + drawn[:, 1] * 2.0**-24
    by_key = torch.argsort(keys, stable=True)  # ties, which equal ids alone can make, fall the same way everywhere
    return by_key[torch.argsort(drawn[by_key], stable=True)]


def _mix(x: Tensor) -> Tensor:
    """The finaliser of splitmix64 on wrapping int64; the shifts are made logical by masks."""
    x = (x ^ ((x >> 30) & ((1 << 34) - 1))) * MIX_A
    x = (x ^ ((x >> 27) & ((1 << 37) - 1))) * MIX_B
    return x ^ ((x >> 31) & ((1 << 33) - 1))
