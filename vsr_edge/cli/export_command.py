"""The command that makes bundles of checkpoints: it hands over to the `export` package.

That package needs PyTorch and is none of the runtime's, so it is found and started here by its name
and imported nowhere. An installed wheel carries it inside this one, where its name is in nobody's
way; a checkout has it beside this one.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

import typer

from vsr_edge.errors import UsageError

# What the extra brings; the rest comes with these.
_NEEDED = ("torch", "safetensors", "PIL", "onnx", "onnxscript", "optimum", "transformers")
PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


def export(context: typer.Context) -> None:
    """Make a bundle of a checkpoint: CLIP, SigLIP, or what was trained here.

    It needs PyTorch: pip install 'vsr-edge\\[export]'.

    Example: [bold]vsr-edge export encoder ./checkpoint --out ./my-bundle[/bold]
    """
    folder = _tools()
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"exporting needs {', '.join(missing)}, which the extra brings: pip install "
            "'vsr-edge[export]', or '.[export]' from a checkout"
        )
    sys.path.insert(0, str(folder))
    commands = importlib.import_module("export.__main__")
    commands.app(args=context.args, prog_name="vsr-edge export")


def _tools() -> Path:
    """The folder that holds the packages `export` and `models`."""
    package = Path(__file__).parents[1]
    for folder in (package / "_tools", package.parent):
        if all((folder / name / "__init__.py").is_file() for name in ("export", "models")):
            return folder
    raise UsageError(
        "this installation came without the export: install from a wheel or from a checkout"
    )
