"""What lies in deploy/ is what each program takes, and names commands and figures that exist."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command import TIMEOUT, finish, succeed
from tests.e2e.containerfile import Stage, stages

PROJECT = Path(__file__).parents[2]
DEPLOY = PROJECT / "deploy"
WATCH, SERVE = "vsr-edge-watch.service", "vsr-edge-serve.service"
CONTAINER = DEPLOY / "Containerfile"


def program(name: str) -> str:
    """Where a checker lies, beside this Python or on the path; the test is skipped without it."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def said(*command: str | Path, **how: Any) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=TIMEOUT, **how
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout + done.stderr)


def check_command(words: list[str]) -> None:
    """A command of ours, with options that there are."""
    command, *rest = words
    out = succeed(command, "--help", environment={"COLUMNS": "200"}).out
    assert [word for word in rest if word.startswith("--") and f"{word} " not in out] == []


@pytest.mark.parametrize("unit", [WATCH, SERVE])
def test_the_unit_runs_a_command_with_options_that_there_are(unit: str) -> None:
    (line,) = re.findall(r"^ExecStart=(.*)$", (DEPLOY / unit).read_text("utf-8"), re.MULTILINE)
    path, *words = shlex.split(line)
    assert Path(path).name == "vsr-edge"
    check_command(words)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
@pytest.mark.parametrize(("unit", "hardened"), [(WATCH, False), (WATCH, True), (SERVE, False)])
def test_systemd_takes_the_unit(tmp_path: Path, unit: str, hardened: bool) -> None:
    text = (DEPLOY / unit).read_text("utf-8")
    # What it is to run and as whom, this machine does not have.
    text = re.sub(r"^ExecStart=\S+", f"ExecStart={shutil.which('true')}", text, flags=re.MULTILINE)
    text = re.sub(r"^(User|Group)=.*", r"\1=root", text, flags=re.MULTILINE)
    (tmp_path / unit).write_text(text, "utf-8")
    if hardened:
        (tmp_path / f"{unit}.d").mkdir()
        shutil.copy(DEPLOY / "hardened.conf", tmp_path / f"{unit}.d")
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / unit],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    # It has a word on the machine's own units too.
    told = [line for line in done.stderr.splitlines() if unit in line]
    assert (done.returncode, told) == (0, [])


def test_the_served_unit_is_confined_as_the_watching_one_is() -> None:
    """But for the network, which it is there for."""

    def limits(file: str) -> set[str]:
        lines = (DEPLOY / file).read_text("utf-8").split("[Service]")[1].splitlines()
        return {line for line in lines if "=" in line and not line.startswith("#")}

    network = {"PrivateNetwork=yes", "RestrictAddressFamilies=AF_UNIX"}
    folders = {"ReadWritePaths=/var/lib/vsr-edge"}  # StateDirectory= says so already
    assert limits("hardened.conf") - limits(SERVE) == network | folders


def test_the_container_has_two_stages_and_only_what_runs_in_the_last() -> None:
    first, last = stages(CONTAINER)
    assert first.base == last.base == "python:${PYTHON}"
    for line in first.all("COPY"):
        assert all((PROJECT / path).exists() for path in line.split()[:-1]), line
    assert last.all("COPY") == [f"--from={first.name} /opt/vsr-edge /opt/vsr-edge"]
    assert not any(re.search(r"\b(apt|pip install|gcc|make)\b", line) for line in last.all("RUN"))
    assert re.search(r"pip uninstall", last.one("RUN"))
    user, _, group = last.one("USER").partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert f"--uid {user} " in last.one("RUN")
    # Where it is to write, others lead too: its root is not.
    writable = {last.environment[f"XDG_{name}_HOME"] for name in ("CACHE", "DATA")}
    writable |= {last.environment["VSR_EDGE_ARCHIVE"], last.one("WORKDIR")}
    assert {Path(path).parts[:4] for path in writable} == {("/", "var", "lib", "vsr-edge")}
    assert last.command("ENTRYPOINT") == ["vsr-edge"]
    check_command(last.command("CMD"))
    assert "/healthz" in last.one("HEALTHCHECK")


def test_the_container_file_is_linted() -> None:
    said(program("hadolint"), CONTAINER)


def test_the_composed_services_are_confined() -> None:
    yaml = pytest.importorskip("yaml")
    composed = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    assert set(composed["services"]) == {"serve", "watch"}
    for service in composed["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
        assert service["tmpfs"][0].startswith("/tmp:")
        assert {"cpus", "mem_limit", "pids_limit"} <= set(service)
        archive, media = service["volumes"]
        assert archive.partition(":")[0] in composed["volumes"]
        assert media.endswith(":/media:ro")
        check_command(list(map(str, service["command"])))
    assert all(port.startswith("127.0.0.1:") for port in composed["services"]["serve"]["ports"])
    built = composed["services"]["serve"]["build"]
    assert (DEPLOY / built["context"] / built["dockerfile"]).samefile(CONTAINER)


def run_steps(stage: Stage, at: Path, folder: Path) -> None:
    """The steps of a stage that make its folder, in a plain environment at another place."""
    for kind, arguments in stage.words:
        if kind == "COPY":
            *paths, target = arguments.split()
            for path in paths:
                to = folder / target if len(paths) == 1 else folder / target / path
                to.parent.mkdir(parents=True, exist_ok=True)
                whole = PROJECT / path
                shutil.copytree(whole, to) if whole.is_dir() else shutil.copy(whole, to)
        elif kind == "RUN" and not arguments.startswith("python -m venv"):
            said("sh", "-ec", arguments.replace("/opt/vsr-edge", str(at)), cwd=folder)


@pytest.mark.bench
@pytest.mark.timeout(900)
def test_the_steps_of_the_container_work_in_a_plain_environment(
    tmp_path: Path, demo_archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No container engine is asked for: what it would run is run without it. Needs an index."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    first, last = stages(CONTAINER)
    at, source = tmp_path / "opt", tmp_path / "src"
    source.mkdir()
    venv.create(at, with_pip=True)
    run_steps(first, at, source)
    assert not list((at / "bin").glob("pip*"))
    shutil.rmtree(source)
    archive = shutil.copytree(demo_archive, tmp_path / "state" / "archive")
    environment = dict(os.environ) | {
        name: value.replace("/var/lib/vsr-edge", str(tmp_path / "state"))
        for name, value in last.environment.items()
    }
    environment["PATH"] = f"{at / 'bin'}:/usr/bin:/bin"
    environment["VSR_EDGE_ARCHIVE"] = str(archive)
    said(at / "bin" / "vsr-edge", "serve", "add-token", "t", env=environment)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [*last.command("ENTRYPOINT"), *last.command("CMD"), "--port", port]
    command = [str(tmp_path) if word == "/media" else word for word in command]
    healthy = shlex.split(last.one("HEALTHCHECK").partition("CMD ")[0])
    assert any(word.startswith("--start-period") for word in healthy)
    ask = json.loads(last.one("HEALTHCHECK").partition("CMD ")[2])
    ask = [word.replace(":8200", f":{port}") for word in ask]
    ask[0] = str(at / "bin" / ask[0])
    command[0] = str(at / "bin" / command[0])
    with subprocess.Popen(
        command, env=environment, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            for _ in range(600):
                if subprocess.run(ask, check=False, capture_output=True).returncode == 0:
                    break
                assert process.poll() is None, finish(process)
            said(*ask)
            process.send_signal(signal.SIGTERM)
            assert process.wait(TIMEOUT) == 0
        finally:
            process.kill()
    assert subprocess.run(ask, check=False, capture_output=True).returncode != 0


def test_a_dashboard_and_alerts_ask_for_figures_that_are_told() -> None:
    pytest.importorskip("prometheus_client")
    from vsr_edge.server.pool import Pool
    from vsr_edge.server.prometheus import Metrics

    class NoJobs:
        unfinished = 0

    metrics = Metrics()
    pool = Pool("search", 1, 1, 1.0)
    metrics.watch({"search": pool}, NoJobs())  # type: ignore[arg-type]
    metrics.requests.labels("GET", "/v1/search", "200").inc()
    metrics.seconds.labels("/v1/search").observe(1.0)
    metrics.verdicts.labels("match").inc()
    lines = metrics.text().decode().splitlines()
    told = {re.split(r"[{ ]", line)[0] for line in lines if not line.startswith("#")}
    labels = {name for line in lines for name in re.findall(r'(\w+)="', line)}
    dashboard = json.loads((DEPLOY / "grafana.json").read_text("utf-8"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked += [one["query"]["query"] for one in dashboard["templating"]["list"] if "refresh" in one]
    asked += re.findall(r"expr: (.*(?:\n {10}.*)*)", (DEPLOY / "alerts.yml").read_text("utf-8"))
    named = {name for one in asked for name in re.findall(r"vsr_edge_\w+", one)}
    assert named <= told
    # Each of ours is looked at by somebody.
    ends = re.compile(r"_(bucket|sum|count|created|total)$")
    assert {ends.sub("", name) for name in told} == {ends.sub("", name) for name in named}
    chosen = {name for one in asked for name in re.findall(r'(\w+)(?:=~|=|!=)"', one)}
    assert chosen <= labels | {"job", "instance"}
    places = [tuple(panel["gridPos"].values()) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)


def test_prometheus_takes_its_files() -> None:
    said(program("promtool"), "check", "rules", DEPLOY / "alerts.yml")
    said(program("promtool"), "check", "config", "--syntax-only", DEPLOY / "prometheus.yml")


def test_caddy_takes_its_file(tmp_path: Path) -> None:
    how = {"env": os.environ | {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}}
    caddy = program("caddy")
    said(caddy, "validate", "--adapter", "caddyfile", "--config", DEPLOY / "Caddyfile", **how)
