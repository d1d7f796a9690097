"""Which executor a run is to have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vsr_edge.bundle.model import Bundle
from vsr_edge.config import MAX_THREADS, Settings, usable_threads
from vsr_edge.errors import UsageError
from vsr_edge.ingest.executor import Executor, Local
from vsr_edge.ingest.spread import Spread
from vsr_edge.ingest.worker import Recipe
from vsr_edge.media.hwaccel import Device

# Providers that run on a card, which a cluster gives to one task at a time.
_ON_CARDS = frozenset({"cuda", "tensorrt", "migraphx"})


@contextmanager
def executing(
    settings: Settings,
    bundle: Bundle,
    notices: list[str],
    processes: int | None = None,
    ray: str | None = None,
) -> Iterator[Executor]:
    """This process, so many others, or a Ray cluster by its address, for the length of a block;
    workers are started when there is something to do. What is to be said of it joins ``notices``.

    Raises:
        UsageError: both are asked for, or a number that cannot be.
    """
    device = Device(settings.hwaccel)
    executor = _executor(settings, bundle, device, processes, ray)
    try:
        yield executor
    finally:
        executor.close()
        notices += [*device.notices, *executor.notices]


def _executor(
    settings: Settings, bundle: Bundle, device: Device, processes: int | None, ray: str | None
) -> Executor:
    if processes is not None and ray is not None:
        raise UsageError("--processes and --ray are two ways to do it: choose one")
    if processes is not None and not 1 <= processes <= MAX_THREADS:
        raise UsageError(f"--processes must lie between 1 and {MAX_THREADS}, not at {processes}")
    if ray is not None and not ray.strip():
        raise UsageError("--ray needs an address: local, auto or HOST:PORT")
    if processes is None and ray is None:
        return Local(bundle, settings.threads, device)
    # A task of a cluster has one processor, unless more are asked for.
    threads = settings.threads or max(1, usable_threads() // processes if processes else 1)
    recipe = Recipe(
        settings.bundle, bundle.encoders_id, settings.provider, threads, settings.hwaccel
    )
    if processes is not None:
        from vsr_edge.ingest.processes import ProcessPool

        return Spread(recipe, lambda: ProcessPool(processes))
    from vsr_edge.ingest.ray_pool import RayPool

    address = ray or ""  # which it is not
    cards = int(settings.provider.partition(":")[0] in _ON_CARDS)
    return Spread(
        recipe,
        lambda: RayPool(
            address, processors=threads, cards=cards, local_processors=usable_threads()
        ),
    )
