"""Send jobs to a Dask cluster instead of this machine's cores: the same jobs, the same store on a shared path."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import joblib
from joblib.parallel import get_active_backend

from falsework.core.errors import Refused

SECONDS = 10  # to wait for a scheduler's first answer


@contextlib.contextmanager
def backend(address: str | None, seconds: float = SECONDS) -> Iterator[None]:
    """Make joblib send its jobs to the Dask scheduler at `address`, such as tcp://host:8786; None changes nothing.

    Every worker must see the course's folder under this machine's path. A worker that dies is replaced by another,
    which goes on at the last checkpoint. Raises Refused when dask is not installed or nobody answers in `seconds`.
    """
    if address is None:
        yield
        return
    try:
        from distributed import Client
    except ImportError:
        raise Refused("--cluster needs Dask, which is not installed here; run pip install -e '.[cluster]'.") from None
    try:
        client = Client(address, timeout=seconds, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as fault:
        raise Refused(
            f"No Dask scheduler answered at {address!r} within {seconds:g} s; start one with `dask scheduler` and give "
            "its address, such as tcp://host:8786."
        ) from fault
    with client, joblib.parallel_config("dask", client=client):
        yield


def on_cluster() -> bool:
    """Return whether joblib sends its jobs to Dask at this moment."""
    return type(get_active_backend()[0]).__name__ == "DaskDistributedBackend"
