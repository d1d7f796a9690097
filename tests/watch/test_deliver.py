"""Alerts reach commands and web hooks, and none is lost."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vsr_edge.errors import UsageError
from vsr_edge.watch import deliver
from vsr_edge.watch.deliver import Command, Delivery, Hook, Outbox, Refused, Target

TEXT = json.dumps({"id": "1", "alert": "dock", "video": "a b.mp4"})


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Receiver(ThreadingHTTPServer):
    """Answers with the next of ``codes``, and the last again and again; keeps what it got."""

    def __init__(self, codes: list[int]) -> None:
        self.codes, self.got = codes, list[tuple[str, bytes]]()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/alerts"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((f"{self.path} {self.headers['Content-Type']}", content))
        codes = self.server.codes
        self.send_response(codes.pop(0) if len(codes) > 1 else codes[0])
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST  # noqa: N815 — what a redirect would be followed by

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def receiving(*codes: int) -> Iterator[Receiver]:
    with Receiver(list(codes)) as receiver:
        thread = threading.Thread(target=receiver.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield receiver
        finally:
            receiver.shutdown()
            thread.join()


class Delivering:
    """An outbox with one target, and what is said of it."""

    def __init__(self, folder: Path, target: Target) -> None:
        self.said: list[str] = []
        self.name, self.outbox = target.name, Outbox(folder, [target.name])
        self.delivery = Delivery(self.outbox, [target], self.said.append)

    def put(self, *identities: str) -> None:
        self.outbox.put([(one, TEXT) for one in identities], [self.name])
        self.delivery.wake()

    def emptied(self) -> None:
        until(lambda: self.outbox.count() == 0)

    def __enter__(self) -> Delivering:
        return self

    def __exit__(self, *_: object) -> None:
        self.delivery.close(30)


def script(folder: Path, code: str) -> Command:
    path = folder / "take it.py"
    path.write_text(code, "utf-8")
    return Command(f"'{sys.executable}' '{path}' '$HOME'")


def test_a_command_gets_the_alert_on_its_input_and_no_shell_reads_its_words(
    tmp_path: Path,
) -> None:
    code = "import sys; open({!r}, 'w').write(sys.stdin.read() + sys.argv[1])"
    script(tmp_path, code.format(str(tmp_path / "got"))).take(TEXT)
    assert (tmp_path / "got").read_text("utf-8") == f"{TEXT}\n$HOME"


def test_a_command_that_fails_or_hangs_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Refused, match="exit code 3"):
        script(tmp_path, "raise SystemExit(3)").take(TEXT)
    monkeypatch.setattr(deliver, "COMMAND_SECONDS", 0.5)
    with pytest.raises(Refused, match="ended after"):
        script(tmp_path, "import time; time.sleep(600)").take(TEXT)


@pytest.mark.parametrize("text", ["", "'", "no-such-program-here --x"])
def test_what_is_no_command_is_refused_at_once(text: str) -> None:
    with pytest.raises(UsageError, match="--exec"):
        Command(text)


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.org", "ftp://example.org/", "file:///etc/passwd"),
        *("http://a:b@example.org/", "http://", "http://example.org:99999999/"),
        "http://example.org/a b",
    ],
)
def test_what_is_no_address_to_post_to_is_refused_at_once(url: str) -> None:
    with pytest.raises(UsageError, match="--webhook"):
        Hook(url)


def test_a_hook_posts_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9/")  # only what is named is spoken to
    monkeypatch.setenv("no_proxy", "")
    with receiving(204) as receiver:
        Hook(receiver.address).take(TEXT)
        assert receiver.got == [("/alerts application/json", TEXT.encode())]


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(code: int) -> None:
    with receiving(code) as receiver:
        with pytest.raises(Refused, match=f"HTTP {code}"):
            Hook(receiver.address).take(TEXT)
        assert len(receiver.got) == 1


def test_a_hook_that_is_down_for_a_while_gets_it_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "PAUSES", (0.01,))
    with receiving(503, 429, 200) as receiver:
        hook = Hook(receiver.address)
        with Delivering(tmp_path, hook) as to:
            to.put("1", "2")
            to.emptied()
        assert len(receiver.got) == 4
    (once,) = to.said
    assert "HTTP 503; tried again" in once


def test_what_is_refused_for_good_is_told_of_and_given_up(tmp_path: Path) -> None:
    with receiving(404) as receiver:
        hook = Hook(receiver.address)
        with Delivering(tmp_path, hook) as to:
            to.put("1")
            to.emptied()
        assert len(receiver.got) == 1
    assert "HTTP 404; given up" in to.said[0]


def test_what_could_not_be_handed_over_waits_for_the_next_run(tmp_path: Path) -> None:
    with receiving(200) as receiver:
        hook = Hook(receiver.address)
    # Nobody listens there any more.
    with Delivering(tmp_path, hook) as to:
        to.put("1")
        until(lambda: bool(to.said))
    assert to.outbox.count() == 1
    with Delivering(tmp_path, hook):
        pass
    assert Outbox(tmp_path, [hook.name]).count() == 1
    assert Outbox(tmp_path, ["webhook elsewhere"]).count() == 0
    taken = tmp_path / "taken"
    command = script(tmp_path, f"import sys; open({str(taken)!r}, 'a').write(sys.stdin.read())")
    with Delivering(tmp_path, command) as to:
        to.put("1", "1")
        to.emptied()
    assert taken.read_text("utf-8") == f"{TEXT}\n"


def test_a_damaged_file_of_what_is_unsent_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / deliver.FILE).write_text('[{"target": 1', "utf-8")
    outbox = Outbox(tmp_path, ["x"])
    outbox.put([("1", TEXT)], ["x"])
    again = Outbox(tmp_path, ["x"])
    found = again.first("x")
    assert found is not None
    assert found[2] == TEXT
    assert os.listdir(tmp_path) == [deliver.FILE]  # noqa: PTH208
