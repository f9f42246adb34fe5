"""Programs of the tests as processes of their own, alone or as torchrun starts them."""

import os
import subprocess
import sys
from pathlib import Path

SRC = Path(__file__).parent.parent / "src"
TIMEOUT_S = 120


def launch(program: Path, *arguments: object, processes: int = 1, check: bool = True) -> int:
    """Run `program` to its end; its exit status. With `check` a failure shows its output."""
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    path = os.pathsep.join([str(SRC), str(program.parent), os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(
        [*command, str(program), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    if check and ended.returncode != 0:
        raise AssertionError(
            f"{program.name} ended with {ended.returncode}:\n{ended.stderr[-4000:]}"
        )
    return ended.returncode
