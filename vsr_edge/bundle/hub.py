"""Fetch a bundle from the Hugging Face hub, or from a mirror that speaks its protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from vsr_edge.bundle.contents import (
    DOCUMENTS,
    MAX_DOCUMENT_BYTES,
    MAX_MANIFEST_BYTES,
    contents,
)
from vsr_edge.bundle.locate import sha256_of
from vsr_edge.bundle.manifest import MANIFEST_FILE, Manifest
from vsr_edge.bundle.registry import COMMIT
from vsr_edge.errors import (
    BundleDamaged,
    HubForbidden,
    HubNotFound,
    HubUnreachable,
    UsageError,
)

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# Smaller files are there before anyone has read that they are coming.
WORTH_SAYING_BYTES = 1_000_000


class HubParcel:
    """A repository at one commit, read file by file: the manifest, then what it names.

    ``scratch`` is a folder for what the client keeps beside its downloads; with a folder of its own
    it leaves the user's cache alone.
    """

    def __init__(
        self,
        repository: str,
        scratch: Path,
        *,
        revision: str | None = None,
        sha256: str | None = None,
        endpoint: str | None = None,
        notify: Callable[[str], None],
    ) -> None:
        self.repository = repository
        self._scratch = scratch
        self._sha256 = sha256
        self._notify = notify
        self._api = _client(endpoint)
        self.commit, self._listed = self._resolve(revision or "main")
        self.origin = f"{repository}@{self.commit[:12]}"
        notify(f"{repository}: {revision or 'main'} is commit {self.commit}")

    def _resolve(self, revision: str) -> tuple[str, frozenset[str]]:
        """The commit that a branch, tag or commit is, and the files in it."""
        no_hub = HubNotFound(
            f"{self._api.endpoint} names no commit for {self.repository} at {revision!r}: is it a "
            "hub? Check --endpoint and HF_ENDPOINT"
        )
        with _explained(self.repository, revision):
            try:
                info = self._api.model_info(self.repository, revision=revision)
            except (KeyError, TypeError, AttributeError) as error:  # an answer of another shape
                raise no_hub from error
        commit = info.sha or ""
        if not COMMIT.fullmatch(commit):
            raise no_hub
        if COMMIT.fullmatch(revision) and revision != commit:
            raise BundleDamaged(f"asked for commit {revision}, the hub answers with {commit}")
        return commit, frozenset(sibling.rfilename for sibling in info.siblings or ())

    def fetch_manifest(self, folder: Path) -> None:
        """Download the manifest into ``folder``, and hold it against the sha256 that was given.

        Raises:
            HubError: the hub does not give it, or the repository holds no bundle.
            BundleDamaged: it has another sha256.
        """
        if MANIFEST_FILE not in self._listed:
            raise HubNotFound(
                f"{self.repository} has no {MANIFEST_FILE}, so it holds no bundle. If it is a "
                "Transformers checkpoint, make a bundle of it: vsr-edge export encoder "
                f"{self.repository} --revision {self.commit} --out DIR"
            )
        self._download(MANIFEST_FILE, folder, at_most=MAX_MANIFEST_BYTES)
        found = sha256_of(folder / MANIFEST_FILE)
        if self._sha256 is not None and found != self._sha256:
            raise BundleDamaged(
                f"the manifest of {self.repository} at {self.commit} has the sha256 {found}, not "
                f"{self._sha256}; nothing was installed. Check the revision and the sha256"
            )

    def fetch_files(self, folder: Path, manifest: Manifest) -> None:
        """Download what the manifest names, and the documents beside it, into ``folder``.

        Raises:
            HubError: the hub does not give a file.
            BundleDamaged: one has another size or content than the manifest says.
        """
        for name, entry in contents(manifest).items():
            if entry.size_bytes >= WORTH_SAYING_BYTES:
                self._notify(f"downloading {name}, {entry.size_bytes / 1e6:.1f} MB")
            self._download(name, folder, exactly=entry.size_bytes)
            if sha256_of(folder / name) != entry.sha256:
                raise BundleDamaged(
                    f"{name} of {self.repository} at {self.commit} is not what its manifest says "
                    "(the sha256 differs); nothing was installed. Tell who published it"
                )
        for name in DOCUMENTS:
            if name in self._listed:
                self._download(name, folder, at_most=MAX_DOCUMENT_BYTES)

    def _download(
        self, name: str, folder: Path, *, exactly: int | None = None, at_most: int | None = None
    ) -> None:
        """One file into ``folder``; what has the wrong size is not downloaded at all."""
        from huggingface_hub import hf_hub_url

        with _explained(self.repository, self.commit, name):
            url = hf_hub_url(
                self.repository, name, revision=self.commit, endpoint=self._api.endpoint
            )
            found = self._api.get_hf_file_metadata(url=url)
        if found.commit_hash != self.commit:
            raise BundleDamaged(
                f"the hub gives {name} of commit {found.commit_hash}, not of {self.commit}"
            )
        if exactly is not None and found.size != exactly:
            raise BundleDamaged(
                f"{name} of {self.repository} has {found.size} bytes, its manifest says {exactly}; "
                "nothing was installed. Tell who published it"
            )
        if at_most is not None and (found.size is None or found.size > at_most):
            raise BundleDamaged(
                f"{name} of {self.repository} has {found.size} bytes, {at_most} at most are "
                "expected: it is no bundle"
            )
        with _explained(self.repository, self.commit, name):
            path = self._api.hf_hub_download(
                self.repository, name, revision=self.commit, local_dir=self._scratch
            )
        Path(path).replace(folder / name)


def _client(endpoint: str | None) -> HfApi:
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise UsageError(
            "pulling from the hub needs huggingface_hub: pip install 'vsr-edge[hub]', or carry the "
            "bundle over as a file: vsr-edge bundle pull --from FILE.tar"
        ) from error
    # Without an endpoint the client follows HF_ENDPOINT; HF_TOKEN and HF_HUB_OFFLINE in any case.
    return HfApi(endpoint=endpoint, library_name="vsr-edge")


@contextmanager
def _explained(repository: str, revision: str, file: str | None = None) -> Iterator[None]:
    """What goes wrong between here and the hub becomes an error that says what to do next."""
    from huggingface_hub import errors as hub

    what = f"{file} of {repository}" if file else repository
    terms = (
        "accept its terms on its page, log in with `hf auth login` or set HF_TOKEN, and pull again"
    )
    try:
        yield
    except hub.HFValidationError as error:
        raise UsageError(f"{repository!r} is no repository of the hub: {error}") from error
    except hub.OfflineModeIsEnabled as error:
        raise HubUnreachable(
            f"{what} cannot be fetched: HF_HUB_OFFLINE is set. Unset it, or carry the bundle over "
            "as a file: vsr-edge bundle pull --from FILE.tar"
        ) from error
    except hub.GatedRepoError as error:
        raise HubForbidden(f"{repository} is gated: {terms}") from error
    except hub.RepositoryNotFoundError as error:
        raise HubNotFound(
            f"the hub has no repository {repository}, or a private one: check the name, or set "
            "HF_TOKEN"
        ) from error
    except hub.RevisionNotFoundError as error:
        raise HubNotFound(
            f"{repository} has no revision {revision!r}: check --revision on its page"
        ) from error
    except hub.LocalEntryNotFoundError as error:  # how the client says that no connection was made
        raise _unreachable(what, error) from error
    except hub.EntryNotFoundError as error:
        raise HubNotFound(
            f"{repository} at {revision} has no {file}, though its manifest names it: its upload "
            "did not finish, or it was made by hand. Tell who published it"
        ) from error
    except hub.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            raise HubForbidden(f"the hub refuses {what} ({status}): {terms}") from error
        raise HubUnreachable(
            f"the hub could not give {what} (status {status}): try again later, or another "
            "--endpoint"
        ) from error
    except _transport_errors() as error:
        if getattr(error, "errno", None) and not isinstance(error, ConnectionError | TimeoutError):
            raise  # this machine's disk, and not the network
        raise _unreachable(what, error) from error


def _unreachable(what: str, error: Exception) -> HubUnreachable:
    return HubUnreachable(
        f"{what} could not be fetched, or not to its end ({_cause(error)}); nothing was installed. "
        "Check the network and pull again, name a mirror with --endpoint, or carry the bundle over "
        "as a file: vsr-edge bundle pull --from FILE.tar"
    )


def _cause(error: BaseException) -> str:
    """What began it, in one line: the client wraps it several times over."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return str(error).partition("\n")[0] or type(error).__name__


def _transport_errors() -> tuple[type[Exception], ...]:
    """What the client's transports raise: requests OSErrors, httpx (since 1.0) and httpx2 (since
    2.0) errors of their own, and Xet plain RuntimeErrors.
    """
    from huggingface_hub import get_session

    # The client has changed its transport twice: which one it has now, its session says.
    transport = import_module(type(get_session()).__module__.partition(".")[0])
    return (OSError, RuntimeError, transport.HTTPError)
