"""onnxruntime's own records are caught from the error stream; everything else passes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from vsr_edge.runtime.native import Caught, native_stderr

STAMP = "2026-11-26 07:39:40.610018486"
WARNING = (
    f"\x1b[0;93m{STAMP} [W:onnxruntime:Default, state.cc:1295 Create] Failed to create "
    "CUDAExecutionProvider. Require cuDNN 9.*\x1b[m\n"
)
ERROR = (
    f"\x1b[1;31m{STAMP} [E:onnxruntime:Default, bridge.cc:2458 operator()] /src/bridge.cc:2043 "
    "Provider& Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library libcublas.so.13\n"
    "\x1b[m\n"
)
PLAIN = f"{STAMP} [W:onnxruntime:, device_discovery.cc:164 Discover] GPU discovery failed\n"


def write(text: str) -> None:
    os.write(2, text.encode())


def test_records_are_caught_and_read(capfd: pytest.CaptureFixture[str]) -> None:
    with native_stderr() as caught:
        write(ERROR + WARNING + PLAIN)
    assert caught.records == [
        "Failed to load library libcublas.so.13",
        "Failed to create CUDAExecutionProvider. Require cuDNN 9.*",
        "GPU discovery failed",
    ]
    assert caught.reason == caught.records[0]
    assert capfd.readouterr() == ("", "")


def test_what_others_write_arrives_in_order(capfd: pytest.CaptureFixture[str]) -> None:
    write("before\n")
    with native_stderr() as caught:
        write("one\n" + WARNING + "two\n" + PLAIN + "three")
    write("\nafter\n")
    assert len(caught.records) == 2
    assert capfd.readouterr().err == "before\none\ntwo\nthree\nafter\n"


def test_the_stream_comes_back_after_an_exception(capfd: pytest.CaptureFixture[str]) -> None:
    caught = Caught()

    def fail() -> None:
        nonlocal caught
        with native_stderr() as caught:
            write(ERROR)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert caught.reason == "Failed to load library libcublas.so.13"
    write("heard")
    assert capfd.readouterr().err == "heard"


def test_nothing_caught_is_no_reason() -> None:
    with native_stderr() as caught:
        pass
    assert (caught.records, caught.reason) == ([], "")


def test_threads_take_turns(capfd: pytest.CaptureFixture[str]) -> None:
    reasons: set[str] = set()

    def work(number: int) -> None:
        with native_stderr() as caught:
            write(f"{STAMP} [E:onnxruntime:, a.cc:1 F] number {number}\n")
        reasons.add(caught.reason)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reasons == {f"number {n}" for n in range(8)}
    assert capfd.readouterr().err == ""


def test_a_program_without_an_error_stream_can_encode() -> None:
    code = (
        "import os, sys; os.close(2); sys.stderr = None\n"
        "import vsr_edge; print(vsr_edge.load_bundle().encode_text(['a dog']).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert done.stdout.strip() == b"(1, 385)"
