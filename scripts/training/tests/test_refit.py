"""The last layer by ridge regression."""

import torch
import torch.nn.functional as F
from torch import nn

from facetrain.distill.refit import offset, refit, restate, ridge
from facetrain.distill.teacher import CheckpointTeacher
from facetrain.models.create import create_backbone
from facetrain.models.pocketnet import PocketNet


def test_a_linear_truth_is_found() -> None:
    torch.manual_seed(1)
    x_NF, truth_FD = torch.randn(60, 5, dtype=torch.double), torch.randn(5, 3, dtype=torch.double)
    w_FD, b_D = ridge(x_NF, x_NF @ truth_FD + 2.0, 1e-9)
    assert torch.allclose(w_FD, truth_FD, atol=1e-6)
    assert torch.allclose(b_D, torch.full((3,), 2.0, dtype=torch.double), atol=1e-6)


def test_a_student_whose_last_layer_was_lost_comes_back() -> None:
    torch.manual_seed(2)
    backbone = create_backbone(
        "pocketnet_toy", embedding_dim=4, cells=3, channels=4, tail_channels=8
    )
    assert isinstance(backbone, PocketNet)
    crops = torch.randint(0, 256, (48, 3, 112, 112), dtype=torch.uint8)
    crops = (crops * torch.linspace(0.05, 1, 48).view(-1, 1, 1, 1)).to(torch.uint8)
    # Statistics of real maps, so that embeddings of different crops differ.
    backbone.train()(backbone.preprocessing.apply(crops))
    teacher = CheckpointTeacher(backbone.eval())
    lost = create_backbone("pocketnet_toy", embedding_dim=4, cells=3, channels=4, tail_channels=8)
    assert isinstance(lost, PocketNet)
    lost.load_state_dict(backbone.state_dict())
    last = list(lost.tail)[-3]
    assert isinstance(last, nn.Conv2d)
    nn.init.normal_(last.weight)
    batches = zip(crops.split(16), torch.arange(48).split(16), strict=True)
    before, after = refit(lost.eval(), teacher, batches)
    assert before < 0.9
    assert after > 0.95
    with torch.no_grad():
        e_ND = F.normalize(lost(lost.preprocessing.apply(crops)))
        target_ND = teacher.embed(crops, torch.arange(48))
    assert (e_ND * target_ND).sum(dim=1).mean() > 0.95


def test_an_offset_lasts_in_training() -> None:
    torch.manual_seed(4)
    norm, x_ND, by_D = nn.BatchNorm2d(3), torch.randn(64, 3) * 4 + 7, torch.tensor([1.0, -2.0, 0.5])
    offset(norm, x_ND, by_D)
    for module in (norm.eval(), norm.train()):
        found = module(x_ND[..., None, None])[..., 0, 0]
        assert torch.allclose(found, x_ND + by_D, atol=1e-4)


def test_statistics_are_those_of_the_pictures() -> None:
    torch.manual_seed(3)
    norm = nn.BatchNorm2d(2)
    norm.running_mean.fill_(9.0)  # pyright: ignore[reportOptionalMemberAccess]
    x_BCHW = torch.randn(4, 2, 8, 8) * 3 + 5
    restate(norm, [x_BCHW[:2], x_BCHW[2:]])
    assert not norm.training
    assert norm.momentum == 0.1
    assert torch.allclose(norm.running_mean, x_BCHW.mean(dim=(0, 2, 3)))  # pyright: ignore[reportArgumentType]
    assert norm(x_BCHW).std().item() < 1.1
