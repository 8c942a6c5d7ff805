"""Write the modules of gRPC's messages and their types, src/steelyard/protocol/*_pb2.py, from the *.proto beside them.

    python -m venv /tmp/proto && /tmp/proto/bin/pip install 'grpcio-tools==1.64.3' 'setuptools<80'
    /tmp/proto/bin/python scripts/make_proto.py

Needs grpcio-tools of that version, in an environment of its own: what it writes runs with protobuf 5.26 and all later
ones, while the code of newer generators refuses to run with a protobuf that is older than they are. A test checks that
what is written is current.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PROTOCOL = Path(__file__).parents[1] / "src" / "steelyard" / "protocol"
NAMES = ("health", "inference")
GENERATOR = "1.64.3"

HEADER = '''# ruff: noqa
# fmt: off
# mypy: ignore-errors
"""Made from NAME.proto by scripts/make_proto.py: do not edit."""

'''
SHARED, OWN = "_descriptor_pool.Default()", "_descriptor_pool.DescriptorPool()"
"""A pool of its own: clients of other makers bring files of the same names, which may then be in the same process."""


def generated() -> dict[str, str]:
    """Name of each file, and what belongs into it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={PROTOCOL}"]
        outputs = [f"--python_out={folder}", f"--pyi_out={folder}"]
        subprocess.run([*command, *outputs, *(f"{name}.proto" for name in NAMES)], check=True)
        made = {path.name: path.read_text(encoding="utf-8") for path in sorted(Path(folder).iterdir())}
    for name in NAMES:
        code = made[f"{name}_pb2.py"]
        assert code.count(SHARED) == 1, "the generator writes something else: look what"
        made[f"{name}_pb2.py"] = code.replace(SHARED, OWN)
    return {name: HEADER.replace("NAME", name.partition("_")[0]) + text for name, text in made.items()}


def main() -> int:
    try:
        found = version("grpcio-tools")
    except PackageNotFoundError:
        found = "none"
    if found != GENERATOR:
        print(f"expected grpcio-tools {GENERATOR}, got {found}; see the top of this file", file=sys.stderr)
        return 2
    for name, text in generated().items():
        (PROTOCOL / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
