import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from facetrain import cli
from facetrain.cli import COMMANDS, main
from facetrain.command import Command

SRC = Path(__file__).parent.parent / "src"


def test_overview_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in COMMANDS)


def test_an_unknown_command_is_the_users_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian"]) == 2
    assert "no command 'trian'" in capsys.readouterr().err
    assert main([]) == 2


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"facetrain {name}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom facetrain.cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit:\n    pass\n"
        "print('heavy:', *sorted({'torch', 'onnxruntime', 'cv2', 'matplotlib'} & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(SRC)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.splitlines()[-1] == "heavy:"


def test_a_users_mistake_has_no_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "toy:none", "--out", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("facetrain train: there is no recipe 'toy:none'")
    assert "Traceback" not in err


def test_commands_are_imported_when_known(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(cli.importlib, "import_module", asked.append)
    main(["--help"])
    assert asked == []


def test_torchs_own_errors_are_no_mistake_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def run(arguments: object) -> None:
        torch.optim.SGD([], lr=0.1)

    broken = Command(configure=lambda parser: None, run=run)
    monkeypatch.setattr(
        cli.importlib, "import_module", lambda _: SimpleNamespace(COMMANDS={"keep": broken})
    )
    with pytest.raises(ValueError, match="empty parameter list"):
        main(["keep"])
