"""Fetch a bundle from the Hugging Face hub, or from a mirror that speaks its protocol.

File by file: ``snapshot_download`` asks no sizes before it downloads, and names no file when a
connection breaks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from vsr_edge.bundle.locate import sha256_of
from vsr_edge.bundle.manifest import DOCUMENTS, MANIFEST_FILE, Manifest
from vsr_edge.bundle.packed import MAX_DOCUMENT_BYTES, MAX_MANIFEST_BYTES
from vsr_edge.bundle.registry import COMMIT
from vsr_edge.errors import (
    BundleDamaged,
    HubForbidden,
    HubNotFound,
    HubUnreachable,
    UsageError,
    VsrEdgeError,
)

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# Smaller files are there before anyone has read that they are coming.
WORTH_SAYING_BYTES = 1_000_000
_BY_FILE = "or carry the bundle over as a file: vsr-edge bundle pull --from FILE.tar"
_TERMS = "accept its terms on its page, log in with `hf auth login` or set HF_TOKEN, and pull again"
_BROKEN = (
    "{what} could not be fetched, or not to its end ({cause}); nothing was installed. Check the "
    f"network and pull again, name a mirror with --endpoint, {_BY_FILE}"
)
# Of the client's errors, by their names, the most special first: which they are for us, and what is
# to be done.
_SAID: dict[str, tuple[type[VsrEdgeError], str]] = {
    "HFValidationError": (UsageError, "{repository!r} is no repository of the hub: {error}"),
    "OfflineModeIsEnabled": (
        HubUnreachable,
        "{what} cannot be fetched: HF_HUB_OFFLINE is set. Unset it, " + _BY_FILE,
    ),
    "GatedRepoError": (HubForbidden, "{repository} is gated: " + _TERMS),
    "RepositoryNotFoundError": (
        HubNotFound,
        "the hub has no repository {repository}, or a private one: check the name, or set HF_TOKEN",
    ),
    "RevisionNotFoundError": (
        HubNotFound,
        "{repository} has no revision {revision!r}: check --revision on its page",
    ),
    # How the client says that no connection was made.
    "LocalEntryNotFoundError": (HubUnreachable, _BROKEN),
    "EntryNotFoundError": (
        HubNotFound,
        "{repository} at {revision} has no {file}, though its manifest names it: its upload did "
        "not finish, or it was made by hand. Tell who published it",
    ),
    "forbidden": (HubForbidden, "the hub refuses {what} ({status}): " + _TERMS),
    "HfHubHTTPError": (
        HubUnreachable,
        "the hub could not give {what} (status {status}): try again later, or another --endpoint",
    ),
    "transport": (HubUnreachable, _BROKEN),
}


class HubSource:
    """A repository at one commit, read file by file: the manifest, then what it names."""

    def __init__(
        self,
        repository: str,
        scratch: Path,
        revision: str | None,
        sha256: str | None,
        endpoint: str | None,
        notify: Callable[[str], None],
    ) -> None:
        """Look up the commit that a branch or tag is, and the files in it.

        Args:
            scratch: a folder for what the client keeps beside its downloads; with a folder of its
                own it leaves the user's cache alone.
            revision: None is main.
            sha256: of the manifest.
            endpoint: None is the client's own.
        """
        self.repository = repository
        self._scratch = scratch
        self._sha256 = sha256
        self._notify = notify
        self._api = _client(endpoint)
        revision = revision or "main"
        no_hub = HubNotFound(
            f"{self._api.endpoint} names no commit for {repository} at {revision!r}: is it a "
            "hub? Check --endpoint and HF_ENDPOINT"
        )
        with _explained(repository, revision):
            try:
                info = self._api.model_info(repository, revision=revision)
            except (KeyError, TypeError, AttributeError) as error:  # an answer of another shape
                raise no_hub from error
        self.commit = info.sha or ""
        self._listed = {sibling.rfilename for sibling in info.siblings or ()}
        if not COMMIT.fullmatch(self.commit):
            raise no_hub
        if COMMIT.fullmatch(revision) and revision != self.commit:
            raise BundleDamaged(f"asked for commit {revision}, the hub answers with {self.commit}")
        self.origin = f"{repository}@{self.commit[:12]}"
        notify(f"{repository}: {revision} is commit {self.commit}")

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
        self._download(MANIFEST_FILE, folder, MAX_MANIFEST_BYTES)
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
        for _, entry in manifest.named_files:
            if entry.size_bytes >= WORTH_SAYING_BYTES:
                self._notify(f"downloading {entry.file}, {entry.size_bytes / 1e6:.1f} MB")
            self._download(entry.file, folder, entry.size_bytes, exactly=True)
            if sha256_of(folder / entry.file) != entry.sha256:
                raise BundleDamaged(
                    f"{entry.file} of {self.repository} at {self.commit} is not what its manifest "
                    "says (the sha256 differs); nothing was installed. Tell who published it"
                )
        for name in DOCUMENTS:
            if name in self._listed:
                self._download(name, folder, MAX_DOCUMENT_BYTES)

    @property
    def listed(self) -> frozenset[str]:
        """Every file of the repository, by its path in it."""
        return frozenset(self._listed)

    def fetch(self, name: str, folder: Path) -> Path:
        """Download any file of the repository to its path below ``folder``; its size is said first.

        Raises:
            HubError: the hub does not give it.
        """
        from huggingface_hub import hf_hub_url

        with _explained(self.repository, self.commit, name):
            endpoint = self._api.endpoint
            url = hf_hub_url(self.repository, name, revision=self.commit, endpoint=endpoint)
            size = self._api.get_hf_file_metadata(url=url).size or 0
            if size >= WORTH_SAYING_BYTES:
                self._notify(f"downloading {name}, {size / 1e6:.1f} MB")
            path = self._api.hf_hub_download(
                self.repository, name, revision=self.commit, local_dir=self._scratch
            )
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        return Path(path).replace(target)

    def _download(self, name: str, folder: Path, size: int, *, exactly: bool = False) -> None:
        """One file into ``folder``; what is larger, or not exactly so large, is not downloaded."""
        from huggingface_hub import hf_hub_url

        with _explained(self.repository, self.commit, name):
            endpoint = self._api.endpoint
            url = hf_hub_url(self.repository, name, revision=self.commit, endpoint=endpoint)
            found = self._api.get_hf_file_metadata(url=url)
        if found.commit_hash != self.commit:
            raise BundleDamaged(
                f"the hub gives {name} of commit {found.commit_hash}, not of {self.commit}"
            )
        if found.size is None or found.size > size or (exactly and found.size != size):
            wanted = (
                f"its manifest says {size}; nothing was installed. Tell who published it"
                if exactly
                else f"{size} at most are expected: it is no bundle"
            )
            raise BundleDamaged(f"{name} of {self.repository} has {found.size} bytes, {wanted}")
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
            f"pulling from the hub needs huggingface_hub: pip install 'vsr-edge[hub]', {_BY_FILE}"
        ) from error
    # Without an endpoint the client follows HF_ENDPOINT; HF_TOKEN and HF_HUB_OFFLINE in any case.
    return HfApi(endpoint=endpoint, library_name="vsr-edge")


@contextmanager
def _explained(repository: str, revision: str, file: str | None = None) -> Iterator[None]:
    """What goes wrong between here and the hub becomes an error that says what to do next."""
    try:
        yield
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        kinds = {kind.__name__ for kind in type(error).__mro__}
        case = next((name for name in _SAID if name in kinds), None)
        if case == "HfHubHTTPError" and status in (401, 403):
            case = "forbidden"
        if case is None and isinstance(error, _transport_errors()):
            network = isinstance(error, ConnectionError | TimeoutError)
            # Else it is this machine's disk.
            case = "transport" if network or not getattr(error, "errno", None) else None
        if case is None:
            raise
        ours, said = _SAID[case]
        what = f"{file} of {repository}" if file else repository
        names = {"what": what, "repository": repository, "revision": revision, "file": file}
        message = said.format(**names, status=status, error=error, cause=_cause(error))
        raise ours(message) from error


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
