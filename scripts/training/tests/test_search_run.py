"""Whole searches on random crops: end to end, resumed, without labels, and their variants."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from facetrain.engine.metrics import read_metrics
from facetrain.models import create_backbone
from facetrain.models.genotype import Genotype, load_genotype
from facetrain.search.objective import IdentityObjective, Objective, TeacherObjective
from facetrain.search.options import (
    AlphaOptions,
    SearchOptions,
    StopOptions,
    SupernetOptions,
    toy_options,
)
from facetrain.search.run import SearchOutcome, run_search
from facetrain.search.searcher import learning_rate
from facetrain.search.stopping import EarlyStop
from facetrain.search.views import crop_and_flip

IDENTITIES = 3
TINY = SupernetOptions(
    cells=4,
    channels=2,
    nodes=2,
    stem_multiplier=1,
    embedding_dim=8,
    tail_channels=8,
    tail_groups=8,
)


@dataclass(frozen=True)
class FakeBatch:
    crop_BCHW: Tensor
    label_B: Tensor
    index_B: Tensor

    def __len__(self) -> int:
        return len(self.index_B)

    def to(self, _device: torch.device, /) -> "FakeBatch":
        return self


class Half:
    """Random crops, another order every epoch."""

    def __init__(self, seed: int, steps: int = 3, batch_size: int = 3) -> None:
        generator = torch.Generator().manual_seed(seed)
        count = steps * batch_size
        shape = (count, 3, 112, 112)
        self.crops = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        self.labels = torch.arange(count) % IDENTITIES
        self.steps_per_epoch, self.batch_size, self.seed = steps, batch_size, seed

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[FakeBatch]:
        generator = torch.Generator().manual_seed(1000 * self.seed + epoch)
        order = torch.randperm(len(self.crops), generator=generator)
        for step in range(start_step, self.steps_per_epoch):
            index = order[step * self.batch_size : (step + 1) * self.batch_size]
            yield FakeBatch(self.crops[index], self.labels[index], index)


class BrightnessTeacher:
    """Embeds a crop by the mean of its channels, and remembers what it was shown."""

    embedding_dim = 3

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def embed(self, crop_BCHW: Tensor, index_B: Tensor) -> Tensor:
        self.seen.append(index_B)
        return torch.nn.functional.normalize(crop_BCHW.float().mean(dim=(2, 3)), dim=1)


def options(**changes: object) -> SearchOptions:
    chosen: dict[str, object] = {
        "supernet": TINY,
        "epochs": 2,
        "evaluate_steps": 1,
        "log_steps": 1,
        "checkpoint_steps": 2,
        "draw_epochs": None,
    }
    return toy_options(**(chosen | changes))


def search(
    chosen: SearchOptions,
    out: Path,
    objective: Objective | None = None,
    max_steps: int | None = None,
) -> SearchOutcome:
    return run_search(
        chosen,
        weights_data=Half(1),
        alphas_data=Half(2),
        out=out,
        objective=objective or IdentityObjective(IDENTITIES),
        max_steps=max_steps,
    )


def test_a_search_writes_a_genotype_that_a_backbone_takes(tmp_path: Path) -> None:
    outcome = search(options(draw_epochs=1), tmp_path)
    assert (outcome.step, outcome.epoch, outcome.complete) == (6, 2, True)
    assert load_genotype(tmp_path / "genotype.json") == outcome.genotype
    backbone = create_backbone(
        "pocketnet_toy", embedding_dim=8, genotype=str(tmp_path / "genotype.json")
    )
    assert backbone.eval()(torch.zeros(1, 3, 112, 112)).shape == (1, 8)
    for name in ("curves.png", "genotype.png", "alphas.png"):
        assert (tmp_path / name).stat().st_size > 1000
    rows = read_metrics(tmp_path / "metrics.jsonl")
    steps = [row for row in rows if "loss" in row]
    assert [row["step"] for row in steps] == [1, 2, 3, 4, 5, 6]
    assert {"loss", "top1", "alpha_loss", "alpha_top1", "lr"} <= steps[0].keys()
    last = rows[-1]
    assert last["epoch"] == 2
    assert Genotype.from_json(last["genotype"]) == outcome.genotype
    assert last["macs"] > 0


def test_published_options_are_the_defaults() -> None:
    published = SearchOptions()
    assert (published.epochs, published.batch_size, published.seed) == (50, 128, 2)
    assert published.alphas.order == 2
    assert learning_rate(published, 0) == 0.1
    assert learning_rate(published, 25) == pytest.approx(0.052)
    assert 0.004 < learning_rate(published, 49) < 0.0042


# In the middle of an epoch off a checkpoint, and between two epochs.
@pytest.mark.parametrize(("order", "killed_at"), [(1, 3), (2, 5)])
def test_a_killed_search_continues_bit_for_bit(order: int, killed_at: int, tmp_path: Path) -> None:
    chosen = options(alphas=AlphaOptions(order=order))
    whole = search(chosen, tmp_path / "whole")
    parts = tmp_path / "parts"
    stopped = search(chosen, parts, max_steps=killed_at)
    assert (stopped.complete, stopped.step) == (False, killed_at)
    assert search(chosen, parts).genotype == whole.genotype
    assert read_metrics(parts / "metrics.jsonl") == read_metrics(
        tmp_path / "whole" / "metrics.jsonl"
    )
    first, second = (
        torch.load(folder / "last.pt", weights_only=True) for folder in (tmp_path / "whole", parts)
    )
    for name, value in first["model"].items():
        assert torch.equal(second["model"][name], value), name
    for name, value in first["alphas"].items():
        assert torch.equal(second["alphas"][name], value), name


def test_a_kill_between_checkpoints_repeats_the_steps_since(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    search(options(), whole)
    # Checkpoints are at even steps and at the end of epochs; this one dies after its fifth step.
    with pytest.raises(KeyboardInterrupt):
        run_search(
            options(),
            weights_data=DiesAt(5),
            alphas_data=Half(2),
            out=parts,
            objective=IdentityObjective(IDENTITIES),
        )
    assert torch.load(parts / "last.pt", weights_only=True)["step"] == 4
    search(options(), parts)
    assert read_metrics(parts / "metrics.jsonl") == read_metrics(whole / "metrics.jsonl")


class DiesAt(Half):
    """A half whose reading ends the process in the middle of an epoch."""

    def __init__(self, step: int) -> None:
        super().__init__(1)
        self._left = step

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[FakeBatch]:
        for batch in super().epoch(epoch, start_step):
            if self._left == 0:
                raise KeyboardInterrupt
            self._left -= 1
            yield batch


def test_a_finished_search_is_not_repeated(tmp_path: Path) -> None:
    first = search(options(), tmp_path)
    again = search(options(), tmp_path)
    assert again == first


def test_other_options_need_another_folder(tmp_path: Path) -> None:
    search(options(), tmp_path, max_steps=2)
    with pytest.raises(ValueError, match=r"other options \(seed\)"):
        search(options(seed=3), tmp_path)
    assert search(replace(options(), log_steps=2), tmp_path).complete


def test_data_of_another_length_needs_another_folder(tmp_path: Path) -> None:
    search(options(), tmp_path, max_steps=5)
    with pytest.raises(ValueError, match="does not lie in epoch 1 of 2 steps"):
        run_search(
            options(),
            weights_data=Half(1, steps=2),
            alphas_data=Half(2),
            out=tmp_path,
            objective=IdentityObjective(IDENTITIES),
        )


def test_a_search_without_labels(tmp_path: Path) -> None:
    teacher = BrightnessTeacher()
    outcome = search(options(), tmp_path, TeacherObjective(teacher))
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert outcome.complete
    assert {"loss", "cosine", "alpha_loss", "alpha_cosine"} <= rows[0].keys()
    assert rows[0]["loss"] == pytest.approx(1 - rows[0]["cosine"], abs=1e-6)
    # The supernet embeds into the teacher's dimensions.
    stored = torch.load(tmp_path / "last.pt", weights_only=True)
    assert stored["model"]["supernet.tail.6.weight"].shape[0] == 3
    # Per step both halves, per epoch one batch of the alphas' half.
    assert len(teacher.seen) == 6 * 2 + 2


def test_alphas_rest_while_the_weights_warm_up(tmp_path: Path) -> None:
    chosen = options(alphas=AlphaOptions(order=1, warmup_epochs=1))
    search(chosen, tmp_path, max_steps=1)
    start = torch.load(tmp_path / "last.pt", weights_only=True)["alphas"]
    search(chosen, tmp_path, max_steps=3)
    rested = torch.load(tmp_path / "last.pt", weights_only=True)["alphas"]
    search(chosen, tmp_path, max_steps=4)
    moved = torch.load(tmp_path / "last.pt", weights_only=True)["alphas"]
    assert torch.equal(rested["normal_EP"], start["normal_EP"])
    assert not torch.equal(moved["normal_EP"], rested["normal_EP"])


@pytest.mark.parametrize(
    ("supernet", "alphas"),
    [
        ({"channels": 4, "partial_channels": 2}, {}),
        ({"auxiliary_skip": True}, {}),
        ({"relaxation": "sigmoid"}, {"zero_one_weight": 10.0}),
        ({"activation": "relu"}, {"mac_weight": 1.0, "mac_target": 7e6}),
    ],
    ids=["pc-darts", "darts-", "fair-darts", "mac penalty"],
)
@pytest.mark.parametrize("order", [1, 2])
def test_variants_run(
    supernet: dict[str, object], alphas: dict[str, object], order: int, tmp_path: Path
) -> None:
    chosen = replace(
        options(),
        supernet=replace(TINY, **supernet),  # pyright: ignore[reportArgumentType]
        alphas=AlphaOptions(order=order, **alphas),  # pyright: ignore[reportArgumentType]
        epochs=1,
    )
    outcome = search(chosen, tmp_path)
    assert outcome.complete
    before = torch.load(tmp_path / "last.pt", weights_only=True)["alphas"]
    assert all(bool(value.isfinite().all()) for value in before.values())


def test_a_mac_penalty_makes_the_network_cheaper(tmp_path: Path) -> None:
    macs = []
    for weight in (0.0, 100.0):
        alphas = AlphaOptions(order=1, lr=0.1, mac_weight=weight, mac_target=7e6)
        out = tmp_path / str(weight)
        search(replace(options(), alphas=alphas), out)
        macs.append(read_metrics(out / "metrics.jsonl")[-1]["macs"])
    assert macs[1] < macs[0]


def test_a_search_stops_when_nothing_changes(tmp_path: Path) -> None:
    # So slow that no order changes.
    alphas = AlphaOptions(order=1, lr=1e-9)
    chosen = options(stop=StopOptions(stable_epochs=1), epochs=20, alphas=alphas)
    outcome = search(chosen, tmp_path)
    assert (outcome.complete, outcome.epoch) == (True, 2)
    assert outcome.reason == "every edge's convolutions kept their order for 1 epochs"
    assert search(chosen, tmp_path) == outcome


def test_early_stop_counts_skips_and_remembers() -> None:
    genotype = load_genotype("casia")
    scores = (torch.rand(14, 8), torch.rand(14, 8))
    assert EarlyStop(StopOptions()).after_epoch(genotype, scores) is None
    reason = EarlyStop(StopOptions(skips=1)).after_epoch(genotype, scores)
    assert reason == "the normal cell has 1 skip connections"
    assert EarlyStop(StopOptions(skips=2)).after_epoch(genotype, scores) is None
    first = EarlyStop(StopOptions(stable_epochs=1))
    assert first.after_epoch(genotype, scores) is None
    resumed = EarlyStop(StopOptions(stable_epochs=1))
    resumed.load(json.loads(json.dumps(first.state)))
    # What pooling, skip and none weigh does not matter.
    other = scores[0].clone()
    other[:, [0, 1, 2, 7]] = torch.rand(14, 4)
    assert resumed.after_epoch(genotype, (other, scores[1])) is not None
    other[0, [3, 4]] = other[0, [4, 3]]
    assert resumed.after_epoch(genotype, (other, scores[1])) is None


def test_views_are_windows_of_the_enlarged_crop_and_repeatable() -> None:
    column = torch.arange(112, dtype=torch.uint8).mul(2).expand(40, 3, 112, 112).contiguous()
    views = crop_and_flip(column, torch.Generator().manual_seed(5))
    again = crop_and_flip(column, torch.Generator().manual_seed(5))
    assert torch.equal(views, again)
    assert (views.dtype, views.shape) == (torch.uint8, column.shape)
    slopes = views[:, 0, 0, 1:].int() - views[:, 0, 0, :-1].int()
    rising = (slopes >= 0).all(dim=1)
    falling = (slopes <= 0).all(dim=1)
    assert (rising ^ falling).all()
    assert 8 < int(rising.sum()) < 32
    # Enlarged: a window does not see the whole ramp.
    spans = views[:, 0, 0].amax(dim=1).int() - views[:, 0, 0].amin(dim=1).int()
    assert int(spans.max()) < 222 * 112 // 128 + 4
    # Rows of one view are alike, whatever its offset.
    assert (views == views[:, :, :1]).all()


def test_a_search_by_labels_needs_two_identities() -> None:
    with pytest.raises(ValueError, match="without labels give a teacher"):
        IdentityObjective(1)
