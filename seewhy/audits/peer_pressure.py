"""Where does this network alone disagree with others that were taught the same?

Where all peers agree with each other and the network says something else, it is likely to be the one that errs. Baluja,
Covell and Sukthankar 2015 (The virtues of peer pressure, CAIP): such images are found without any label. How
often it is true is measured on those that have one, with Wilson's interval, beside how often the network errs at all.
Consensus is not truth: what all of them get wrong alike, a mark that all have learnt for instance, this cannot see.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from seewhy.statistics import intervals
from seewhy.types import Finding, Need, Pillar, Predictions, Tables
from seewhy.wording import counted, percent, quoted

pillar: Pillar = "mistakes"

BLIND = "What all networks get wrong alike cannot be seen by comparing them."


def needs(*, peers: tuple[str, ...] = (), train: int = 0, **settings: Any) -> tuple[Need, ...]:
    return (Need("baseline"), *((_need(peers, train),) if len(peers) + train > 1 else ()))


def _need(peers: tuple[str, ...], train: int) -> Need:
    return Need("peers", peers=tuple(peers), train=train)


def check(
    tables: Tables, *, peers: tuple[str, ...] = (), train: int = 0, level: float = 0.95, most: int = 12
) -> Finding:
    """One Finding. `peers`: two models or more, as `--model` names them; `train`: how many more are trained from other
    seeds, each for as long as the network was; `most`: pictures."""
    common: dict[str, Any] = {
        "id": "peer_pressure:all",
        "audit": "peer_pressure",
        "pillar": pillar,
        "seed": tables.seed,
        "source": "Baluja, Covell and Sukthankar 2015 (CAIP); Wilson 1927",
        "settings": {"peers": list(peers), "train": train, "level": level},
    }
    if len(peers) + train < 2:
        why = "it takes two peers; name models with the setting `peers`, or have some trained with `train`"
        return Finding(statement=f"Whether it alone disagrees with others was not asked: {why}.", **common)
    baseline, said = tables.baseline, tables[_need(peers, train)]
    consensus = _consensus(baseline, said)
    common["evidence"] = (_how_good(baseline, said, level),)
    answers = baseline["answer"]
    agreed = np.array([said is not None for said in consensus], bool)
    alone = agreed & np.array([said != own for said, own in zip(consensus, answers, strict=True)], bool)
    asked = f"{int(agreed.sum()):,} of {counted(len(baseline), f'{tables.split} image')}"
    number = counted(len(peers) + train, "peer")
    begin = (
        f"{number} agree with each other on {asked}, and on {int(alone.sum()):,} of these the network says otherwise"
    )
    if not alone.any():
        return Finding(
            statement=f"{begin}.", found=False, unit="count", value=0.0, n=int(agreed.sum()), doubts=(BLIND,), **common
        )
    return _told(baseline, consensus, alone, begin, level, most, common)


def _consensus(baseline: Predictions, said: Predictions) -> np.ndarray:
    """What all peers say of each row, None where they differ or some were not asked."""
    answers: dict[str, list[str]] = {}
    for id, answer in zip(said["id"], said["answer"], strict=True):
        answers.setdefault(id, []).append(answer)
    many = len(set(said["condition"]))
    found = np.full(len(baseline), None, object)
    for row, id in enumerate(baseline["id"]):
        of_row = answers.get(id, [])
        if len(of_row) == many and len(set(of_row)) == 1:
            found[row] = of_row[0]
    return found


def _how_good(baseline: Predictions, said: Predictions, level: float) -> dict[str, Any]:
    """How often the network, and each peer, is right: worse peers press in the wrong direction."""
    rows = []
    of_peers = ((name, said.condition(name)) for name in dict.fromkeys(said["condition"]))
    for name, each in [("this network", baseline), *of_peers]:
        right = each["right"]
        share = intervals.rate(right[~np.isnan(right)], level)
        rows.append({"name": name, "value": share.value, "low": share.low, "high": share.high, "n": share.n})
    return {"kind": "bars", "title": "How often each is right", "unit": "share", "rows": rows, "reference": None}


def _told(
    baseline: Predictions,
    consensus: np.ndarray,
    alone: np.ndarray,
    begin: str,
    level: float,
    most: int,
    common: dict[str, Any],
) -> Finding:
    right, target = baseline["right"], baseline["target"]
    labelled = ~np.isnan(right)
    here = np.flatnonzero(alone & labelled)
    sure = np.argsort(-np.nan_to_num(baseline["confidence"]), kind="stable")
    shown = [row for row in sure if alone[row]][:most]
    items = [
        {
            "id": baseline["id"][row],
            "caption": f"says {quoted(baseline['answer'][row])}, all peers {quoted(consensus[row])}"
            + (f"; labelled {quoted(target[row])}" if labelled[row] else ""),
        }
        for row in shown
    ]
    common |= {
        "examples": tuple(baseline["id"][shown]),
        "evidence": (
            {"kind": "examples", "title": "Where it stands alone, the surest first", "items": items},
            *common["evidence"],
        ),
    }
    if not len(here):
        sentence = f"{begin}: likely mistakes, though none of them has a label to tell."
        return Finding(
            statement=sentence,
            found=True,
            unit="count",
            value=float(alone.sum()),
            n=len(baseline),
            doubts=(BLIND,),
            **common,
        )
    wrong = (right[here] < 0.5).astype(float)
    precision = intervals.rate(wrong, level)
    by_consensus = int(np.sum(consensus[here] == target[here]))
    mistakes = int(np.sum(right[labelled] < 0.5))
    base = float(np.mean(right[labelled] < 0.5))
    clear = precision.low > base
    statement = (
        f"{begin}. It is wrong on {int(wrong.sum())} of the {len(here)} with a label: {precision}, against "
        f"{percent(base)} of all; the peers are right on {by_consensus}. That finds {int(wrong.sum())} of its "
        f"{counted(mistakes, 'mistake')}."
    )
    few = [] if clear else ["That is not clearly more often than it is wrong anyway."]
    own, *of_peers = common["evidence"][1]["rows"]
    if all(peer["value"] < own["value"] for peer in of_peers):
        best = max(peer["value"] for peer in of_peers)
        few.append(
            f"No peer is as often right as the network, the best on {percent(best)}: what they agree on may be wrong."
        )
    return Finding(
        statement=statement,
        found=clear,
        unit="share",
        **precision._asdict(),
        severity="minor" if clear else "none",
        doubts=(*few, BLIND, "The peers' answer is no label: look before you use it as one.", intervals.INDEPENDENT),
        mitigation="Look at these images: they are mistakes, or their labels are, more often than others."
        if clear
        else None,
        **common,
    )
