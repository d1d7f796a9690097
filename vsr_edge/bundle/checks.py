"""Before a graph's first answer: is it the one that the manifest says, and is it run right?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from vsr_edge.bundle.golden import GOLDEN_COSINE, Sample, lowest_cosine, telling, told_apart
from vsr_edge.bundle.manifest import GRAPH_INPUTS, GRAPH_OUTPUTS, Manifest
from vsr_edge.errors import BundleDamaged, ProviderError
from vsr_edge.runtime.session import Session
from vsr_edge.types import Vectors


def check_graph(session: Session, role: str, manifest: Manifest) -> None:
    """Hold a loaded graph against the contract: names, number of axes, fixed dims.

    Raises:
        BundleDamaged: it takes or gives something else.
    """
    dims, graph = manifest.dimensions, manifest.graphs[role]
    last = {"pixels": dims.image, "soft_tokens": dims.hidden, "token_states": dims.hidden}
    for name in ("vector", "regions", "query", "frames", "frame_regions"):
        last[name] = dims.embedding
    for kind, shapes, wanted in (
        ("takes", session.inputs, GRAPH_INPUTS[role]),
        ("gives", session.outputs, GRAPH_OUTPUTS[role]),
    ):
        wanted = {name: wanted[name] for name in graph["inputs" if kind == "takes" else "outputs"]}
        if {name: len(shape) for name, shape in shapes.items()} != wanted:
            raise BundleDamaged(f"the {role} graph {kind} {shapes}, not {wanted}")
        for name, shape in shapes.items():
            if name in last and shape[-1] != last[name]:
                raise BundleDamaged(
                    f"the {role} graph {kind} {name} {shape}; the manifest says {last[name]}"
                )


def check_start(
    session: Session,
    golden: Sequence[Sample],
    compute: Callable[[Sequence[Sample]], Sequence[Vectors]],
) -> None:
    """Does the provider of a loaded graph compute what it should? Asked before its first answer.

    Accelerators are known to return rubbish without a word, for a driver's or a kernel's fault.

    Args:
        compute: the graph's outputs for samples, vectors [n, D] first; they may be repeated, to
            fill a batch.

    Raises:
        ProviderError: it computes something else, or nothing tells.
    """
    name, package = session.provider.name, session.provider.package
    remedy = f"use --provider cpu; another driver or version of {package} may mend it"
    if not golden:
        raise ProviderError(
            f"the bundle has no golden vectors, by which to tell whether {name} computes what it "
            "should: use --provider cpu, or export the bundle again"
        )
    told = telling(golden)
    vectors, *further = compute(told)
    expected = [told[place % len(told)] for place in range(len(vectors))]
    cosine = lowest_cosine(vectors, expected)
    fault = f"cosine {cosine:.4f} to the bundle's golden vectors, at least {GOLDEN_COSINE} is right"
    # Asked so that a cosine that is not a number does not pass.
    if cosine >= GOLDEN_COSINE:
        if not told_apart(vectors, expected):
            fault = "nearly the same for all it is given"
        elif all(np.isfinite(values).all() for values in further):
            return
        else:
            fault = "what is no number"
    raise ProviderError(f"{name} computes rubbish on this machine ({fault}): {remedy}")
