from pathlib import Path

import partial_fc_toy
import pytest
import torch
from processes import launch

from facetrain.engine.checkpoint import LAST, load_checkpoint, read_checkpoint
from facetrain.engine.distributed import World
from facetrain.engine.metrics import read_metrics
from facetrain.heads.margin import Margin, MarginHead
from facetrain.heads.partial_fc import PartialFC

MARGIN = Margin.arcface()


def test_rate_one_is_the_full_softmax() -> None:
    torch.manual_seed(0)
    full, partial = MarginHead(8, 20, MARGIN), PartialFC(8, 20, MARGIN)
    partial.weight.data.copy_(full.weight)
    label_B = torch.tensor([3, 19, -1, 0, 3, 7])
    grads = []
    for head in (full, partial):
        e_BD = torch.randn(6, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
        loss = head(e_BD, label_B)
        loss.backward()
        grads.append((loss, e_BD.grad, head.weight.grad))
    for ours, theirs in zip(grads[1], grads[0], strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_sample_holds_all_positives_and_the_wanted_number() -> None:
    torch.manual_seed(0)
    head = PartialFC(4, 100, MARGIN, sample_rate=0.2)
    label_G = torch.tensor([99, 0, 57, 57, -1])
    draws = [head.sample(label_G).tolist() for _ in range(20)]
    for draw in draws:
        assert len(draw) == len(set(draw)) == 20
        assert draw == sorted(draw)
        assert {99, 0, 57} <= set(draw)
    assert len({tuple(draw) for draw in draws}) > 1
    # A negative is drawn about as often as the rate says.
    assert sum(5 in draw for draw in draws) < 12


def test_a_sample_grows_to_the_batch_where_the_rate_is_too_small() -> None:
    head = PartialFC(4, 50, MARGIN, sample_rate=0.02)
    label_G = torch.arange(10, 30)
    assert set(range(10, 30)) <= set(head.sample(label_G).tolist())


def test_sampled_gradient_touches_sampled_classes_only() -> None:
    torch.manual_seed(0)
    head = PartialFC(4, 100, MARGIN, sample_rate=0.1)
    head(torch.randn(4, 4), torch.tensor([1, 2, 3, 4])).backward()
    assert head.weight.grad is not None
    touched = (head.weight.grad.abs().sum(dim=1) > 0).nonzero().flatten().tolist()
    assert {1, 2, 3, 4} <= set(touched)
    assert len(touched) == 10


def test_shares_cover_the_classes_once() -> None:
    heads = [PartialFC(2, 11, MARGIN, rank=rank, world=4) for rank in range(4)]
    spans = [(head.first_class, len(head.weight)) for head in heads]
    assert spans == [(0, 3), (3, 3), (6, 3), (9, 2)]


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sharded")
    launch(Path(__file__).with_name("partial_fc_toy.py"), out, processes=2)
    return out


def test_two_processes_train_what_one_trains(two_processes: Path, tmp_path: Path) -> None:
    whole = partial_fc_toy.train(tmp_path, World())
    one = read_checkpoint(tmp_path / LAST)["state"]
    two = read_checkpoint(two_processes / "full" / LAST)["state"]
    torch.testing.assert_close(two["weight"], one["weight"], rtol=1e-5, atol=1e-6)
    shards = [torch.load(two_processes / f"shard{rank}.pt")["weight"] for rank in range(2)]
    torch.testing.assert_close(torch.cat(shards), whole.weight.data, rtol=1e-5, atol=1e-6)
    # The loss is a mean over labelled pictures of all processes, the same number on each.
    losses = [
        [row["loss"] for row in read_metrics(folder / "metrics.jsonl")]
        for folder in (two_processes / "full", tmp_path)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_sharded_sampled_run_continues_bit_for_bit(two_processes: Path) -> None:
    def losses(name: str) -> list[float]:
        return [row["loss"] for row in read_metrics(two_processes / name / "metrics.jsonl")]

    assert losses("sampled_parts") == losses("sampled")
    assert len(losses("sampled")) == partial_fc_toy.STEPS
    # Of the other process's share only the newest is kept.
    kept = [path.name for path in (two_processes / "sampled_parts").glob("*.rank1.pt")]
    assert kept == ["last.step00000006.rank1.pt"]


def test_a_sharded_run_refuses_another_number_of_processes(two_processes: Path) -> None:
    from facetrain.engine.checkpoint import TrainState

    head = PartialFC(5, 7, MARGIN, world=4)
    task = partial_fc_toy.Classify(head)
    modules = task.modules()
    state = TrainState(modules=modules, optimizer=torch.optim.SGD(modules.parameters()), ema=None)
    with pytest.raises(ValueError, match="start as many"):
        load_checkpoint(two_processes / "full", state, World(size=4))
