import json
from pathlib import Path

import pytest

from facetrain.config import (
    HeadOptions,
    LoopOptions,
    OptimOptions,
    Run,
    ScheduleOptions,
    TeacherOptions,
    TermOptions,
)
from facetrain.config_json import from_json, to_json, with_settings
from facetrain.recipes.find import all_recipes, find_recipe


@pytest.mark.parametrize("name", all_recipes("Run"))
def test_every_recipe_survives_json(name: str) -> None:
    run = find_recipe(name, Run)
    text = json.dumps(to_json(run))
    again = from_json(Run, json.loads(text))
    assert to_json(again) == to_json(run)
    assert again.optim == run.optim
    assert again.terms == run.terms


def test_left_out_options_take_their_defaults() -> None:
    run = from_json(Run, {"name": "x", "optim": {"lr": 1}, "terms": []})
    assert run == Run(name="x", optim=OptimOptions(lr=1.0))


def test_settings_by_path() -> None:
    run = with_settings(
        find_recipe("toy:student", Run),
        {
            "optim.lr": "0.05",
            "loop.max_steps": "7",
            "model.options.genotype": "runs/cells.json",
            "schedule.milestones": "[3, 4.5]",
            "optim.clip_norm": "null",
        },
    )
    assert run.optim.lr == 0.05
    assert run.loop.max_steps == 7
    assert run.model.options["genotype"] == "runs/cells.json"
    assert run.schedule.milestones == (3.0, 4.5)
    assert run.optim.clip_norm is None


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"optim.rate": "1"}, "optim: no option 'rate'"),
        ({"optimiser.lr": "1"}, "optimiser.lr: there is no such option"),
        ({"loop.epochs": "ten"}, "loop.epochs: expected int, found 'ten'"),
        ({"loop.epochs": "true"}, "expected int"),
        ({"loop.epochs": "0"}, "1 or more"),
        ({"data.identities": "[0.5]"}, "expected 2 values"),
        ({"data.identities": "[0.5, 0.2]"}, "0 <= from < to <= 1"),
        ({"head.kind": "softmax"}, "arcface, cosface"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("[", r"\[")):
        with_settings(find_recipe("toy:student", Run), settings)


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"terms": (TermOptions(),)}, "teacher.kind"),
        ({"head": HeadOptions(kind="none")}, "there is no loss"),
        (
            {"terms": (TermOptions(), TermOptions()), "teacher": TeacherOptions(kind="onnx")},
            "each kind may stand once",
        ),
    ],
)
def test_a_run_must_make_sense(parts: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Run(name="x", **parts)


@pytest.mark.parametrize("minutes", [-1.0, 0.0, float("nan"), float("inf")])
def test_a_run_by_time_must_end(minutes: float) -> None:
    with pytest.raises(ValueError, match=r"loop\.minutes is .* it must lie in \(0\.0, 525600"):
        LoopOptions(minutes=minutes)


def test_a_warmup_must_leave_epochs_to_the_schedule() -> None:
    with pytest.raises(ValueError, match=r"warmup_epochs is 2 .* must lie in \[0, 2\)"):
        Run(name="x", schedule=ScheduleOptions(warmup_epochs=2), loop=LoopOptions(epochs=2))


def test_published_run_is_as_published() -> None:
    run = find_recipe("pocketnet:s128_multi_step", Run)
    assert run.schedule.milestones == (7.0, 13.0, 19.0, 24.0)
    assert run.loop == LoopOptions(epochs=26, batch_size=128, save_every=2000, log_every=100)
    assert (run.optim.lr, run.optim.momentum, run.optim.weight_decay) == (0.1, 0.9, 5e-4)
    assert (run.optim.clip_norm, run.optim.clip_modules) == (5.0, ("backbone",))
    assert run.terms == (TermOptions(kind="template", weight=100.0, per_dim=True),)
    assert (run.head.kind, run.head.scale, run.head.m2) == ("arcface", 64.0, 0.5)
    assert run.teacher.kind == "schedule"


def test_recipes_may_lie_anywhere(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from facetrain.config import Run\ndef first() -> Run:\n    return Run(name='mine')\n"
    )
    assert find_recipe(f"{file}:first", Run).name == "mine"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("toy", "module:function"),
        ("toy:nothing", "no recipe 'toy:nothing'; there are .*toy:student"),
        ("none:baseline", "no recipe 'none:baseline'"),
        ("search:toy", "no recipe 'search:toy'"),
        ("none.py:baseline", "no such file"),
    ],
)
def test_refuses_unknown_recipes(name: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        find_recipe(name, Run)


def test_a_recipe_file_must_return_the_right_kind(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def first():\n    return 3\n")
    with pytest.raises(ValueError, match="returns int, not Run"):
        find_recipe(f"{file}:first", Run)
    with pytest.raises(ValueError, match="no function 'second'"):
        find_recipe(f"{file}:second", Run)
