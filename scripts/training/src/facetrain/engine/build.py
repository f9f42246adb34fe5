"""What the loop needs before its first step: modules on the device, optimiser, EMA, DDP."""

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from facetrain.config import LoopOptions, OptimOptions
from facetrain.engine.checkpoint import TrainState
from facetrain.engine.cuda_graph import capture_at_first_step
from facetrain.engine.distributed import World
from facetrain.engine.ema import Ema
from facetrain.engine.optimizer import build_optimizer
from facetrain.engine.task import Batch, Task, local_modules, primary_name


class _Objective(nn.Module):
    """A task's loss as a module, so that DDP can wrap it; holds the trained modules only."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.trained = task.modules()
        # A tuple hides a task that is itself a module (and its teacher) from registration.
        self._task = (task,)

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        return self._task[0].loss(batch, step)


def build(
    task: Task, options: LoopOptions, optim: OptimOptions, world: World
) -> tuple[TrainState, nn.Module]:
    """Put the task's modules on the device and make what trains them.

    Returns:
        The state, and the module whose call gives the losses of a batch, under DDP if need be.
    """
    torch.set_float32_matmul_precision("high" if options.precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = options.precision != "fp32"
    torch.backends.cudnn.benchmark = True
    modules = task.modules().to(world.device)
    primary = modules[primary_name(modules)]
    if options.channels_last:
        primary.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if options.compile == "cudagraphs":
        capture_at_first_step(primary)
    elif options.compile != "off":
        primary.compile(mode=options.compile)
    ema = Ema(primary, options.ema_decay) if options.ema_decay is not None else None
    state = TrainState(modules=modules, optimizer=build_optimizer(modules, optim), ema=ema)
    objective = _Objective(task)
    if world.size == 1:
        return state, objective
    local = local_modules(modules)
    mine = [n for n, _ in objective.named_parameters() if n.split(".")[1] in local]
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(objective, mine)
    return state, DistributedDataParallel(objective, broadcast_buffers=False)
