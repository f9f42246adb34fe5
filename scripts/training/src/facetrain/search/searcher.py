"""One step, one epoch of a search."""

# B batch, C channels, H height, W width

import itertools
import logging
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facetrain.engine.distributed import World
from facetrain.engine.metrics import Meter, MetricLog, check_finite, read_metrics
from facetrain.engine.seed import generator_for
from facetrain.engine.task import BatchSource
from facetrain.models.genotype import Genotype
from facetrain.preprocessing import POCKETNET
from facetrain.search.alphas import Alphas
from facetrain.search.checkpoint import SearchState
from facetrain.search.cost import genotype_cost, mac_table
from facetrain.search.darts import AlphaStep, Bilevel, mean_over_processes
from facetrain.search.derive import derive
from facetrain.search.objective import Objective, Sample, SearchModel
from facetrain.search.options import SearchOptions
from facetrain.search.plots import draw_alphas, draw_curves, draw_genotype
from facetrain.search.stopping import EarlyStop

logger = logging.getLogger(__name__)

Augment = Callable[[Tensor, torch.Generator], Tensor]


class Searcher:
    """The parts of a search and what one step, one epoch do with them."""

    def __init__(
        self,
        options: SearchOptions,
        objective: Objective,
        augment: Augment | None,
        out: Path,
        world: World,
    ) -> None:
        self.options, self.objective, self.augment = options, objective, augment
        self.out, self.world = out, world
        dim = objective.embedding_dim(options.supernet.embedding_dim)
        supernet = replace(options.supernet, embedding_dim=dim)
        # Every process starts from the same weights; nobody else's random numbers are disturbed.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            model = SearchModel(supernet, objective)
            alphas = Alphas(
                supernet.nodes,
                relaxation=supernet.relaxation,
                edges=supernet.partial_channels > 1,
            )
        # Depthwise convolutions are faster with the channels last, on a CPU too.
        model.to(world.device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        alphas.to(world.device)
        w, a = options.weights, options.alphas
        self.state = SearchState(
            model=model,
            alphas=alphas,
            weight_optim=torch.optim.SGD(
                model.parameters(), w.lr, momentum=w.momentum, weight_decay=w.weight_decay
            ),
            alpha_optim=torch.optim.Adam(
                alphas.parameters(), a.lr, betas=a.betas, weight_decay=a.weight_decay
            ),
            early=EarlyStop(options.stop),
        )
        self.bilevel = Bilevel(model, alphas, objective, penalty=self._penalty(), world=world)
        self.meter = Meter()

    def step(self, weights_batch: Any, alphas_batch: Any) -> None:
        """The alphas' gradient, the weights' step, then the alphas' step: PocketNet's order."""
        state = self.state
        state.model.train()
        lr = learning_rate(self.options, state.epoch)
        for group in state.weight_optim.param_groups:
            group["lr"] = lr
        train = self.sample(weights_batch, augmented=True)
        searching = state.epoch >= self.options.alphas.warmup_epochs
        seen: dict[str, Tensor] = {}
        found: AlphaStep | None = None
        if searching:
            found = self._alpha_gradients(train, self.sample(alphas_batch, augmented=False), lr)
            seen |= {
                "alpha_loss": found.loss,
                f"alpha_{self.objective.quality_name}": found.quality,
            }
        seen |= self._weight_step(train)
        if found is not None:
            for parameter, slope in zip(state.alphas.parameters(), found.gradients, strict=True):
                parameter.grad = slope
            state.alpha_optim.step()
        state.step += 1
        self.meter.add(seen)

    def record(self, log: MetricLog | None) -> None:
        """Log and checkpoint where it is time to."""
        step = self.state.step
        if step % self.options.log_steps == 0:
            losses = self.meter.flush(self.world)
            check_finite(losses, step)
            if log is not None:
                lr = learning_rate(self.options, self.state.epoch)
                log.write({"step": step, "epoch": self.state.epoch, "lr": lr, **losses})
        if step % self.options.checkpoint_steps == 0:
            self.save()

    def end_epoch(self, alphas_data: BatchSource, log: MetricLog | None) -> str | None:
        """Evaluate, derive, write; why the search is over, or None."""
        state = self.state
        figures = self.evaluate(alphas_data)
        state.epoch += 1
        genotype, scores = self.genotype(), state.alphas.scores()
        finished = state.early.after_epoch(genotype, scores)
        if log is not None:
            target = self.options.target
            cost = genotype_cost(genotype, target.backbone, embedding_dim=target.embedding_dim)
            log.write(
                {
                    "step": state.step,
                    "epoch": state.epoch,
                    **figures,
                    "macs": cost.macs,
                    "params": cost.params,
                    "genotype": genotype.to_json(),
                    "normal_scores": scores[0].tolist(),
                    "reduce_scores": scores[1].tolist(),
                }
            )
            genotype.save(self.out / "genotype.json")
            every = self.options.draw_epochs
            if every is not None and (
                state.epoch % every == 0 or state.epoch == self.options.epochs
            ):
                self._draw(genotype)
        self.save()
        logger.info("epoch %d: %s", state.epoch, figures)
        return finished

    @torch.no_grad()
    def evaluate(self, data: BatchSource) -> dict[str, float]:
        """Mean loss and quality of the mixture on the alphas' half, in evaluation mode."""
        state = self.state
        limit = self.options.evaluate_steps
        if limit == 0:
            return {}
        state.model.eval()
        mix = state.alphas.weights(self.auxiliary)
        meter = Meter()
        for batch in itertools.islice(data.epoch(0), limit):
            sample = self.sample(batch, augmented=False)
            output = state.model(sample.x_BCHW, mix)
            name = f"val_{self.objective.quality_name}"
            loss = self.objective.loss(output, sample.target)
            meter.add({"val_loss": loss, name: self.objective.quality(output, sample.target)})
        return meter.flush(self.world)

    def sample(self, batch: Any, *, augmented: bool) -> Sample:
        """A batch on the device, seen as the network and a teacher see it."""
        batch = batch.to(self.world.device)
        crop_BCHW = batch.crop_BCHW
        if augmented and self.augment is not None:
            generator = generator_for(
                self.options.seed, self.state.step, self.world.rank, self.world.device
            )
            crop_BCHW = self.augment(crop_BCHW, generator)
        target = self.objective.target(crop_BCHW, batch)
        x_BCHW = POCKETNET.apply(crop_BCHW).to(memory_format=torch.channels_last)
        return Sample(x_BCHW, target)

    @property
    def auxiliary(self) -> float:
        """Weight of DARTS-'s extra skip: from 1 down to 0 over the epochs."""
        if not self.options.supernet.auxiliary_skip:
            return 0.0
        return 1.0 - self.state.epoch / self.options.epochs

    def genotype(self) -> Genotype:
        return derive(*self.state.alphas.scores())

    def save(self) -> None:
        if self.world.is_main:
            self.state.save(self.out, self.options)
        self.world.barrier()

    def _alpha_gradients(self, train: Sample, val: Sample, lr: float) -> AlphaStep:
        if self.options.alphas.order == 1:
            return self.bilevel.first_order(val, auxiliary=self.auxiliary)
        optim_state = self.state.weight_optim.state
        velocity = {
            name: optim_state[p]["momentum_buffer"]
            for name, p in self.state.model.named_parameters()
            if optim_state.get(p, {}).get("momentum_buffer") is not None
        }
        return self.bilevel.second_order(
            train,
            val,
            xi=lr,
            velocity=velocity,
            options=self.options.weights,
            eps=self.options.alphas.hessian_eps,
            auxiliary=self.auxiliary,
        )

    def _weight_step(self, train: Sample) -> dict[str, Tensor]:
        state = self.state
        with torch.no_grad():
            mix = state.alphas.weights(self.auxiliary)
        output = state.model(train.x_BCHW, mix)
        loss = self.objective.loss(output, train.target)
        loss.backward()
        trained = [p for p in state.model.parameters() if p.grad is not None]
        slopes = [p.grad for p in trained if p.grad is not None]
        for parameter, slope in zip(trained, mean_over_processes(slopes, self.world), strict=True):
            parameter.grad = slope
        torch.nn.utils.clip_grad_norm_(trained, self.options.weights.clip_norm)
        state.weight_optim.step()
        state.weight_optim.zero_grad()
        return {
            "loss": loss.detach(),
            self.objective.quality_name: self.objective.quality(output, train.target).detach(),
        }

    def _draw(self, genotype: Genotype) -> None:
        draw_curves(read_metrics(self.out / "metrics.jsonl"), self.out / "curves.png")
        draw_genotype(genotype, self.out / "genotype.png")
        draw_alphas(*self.state.alphas.scores(), self.out / "alphas.png")

    def _penalty(self) -> Callable[[], Tensor] | None:
        options = self.options.alphas
        alphas = self.state.alphas
        if options.mac_weight == 0 and options.zero_one_weight == 0:
            return None
        target = self.options.target
        table = mac_table(alphas.num_nodes, target.backbone, embedding_dim=target.embedding_dim)

        def penalty() -> Tensor:
            expected = table.expected(alphas.weights())
            macs = options.mac_weight * expected / options.mac_target
            return macs + options.zero_one_weight * alphas.zero_one_loss()

        return penalty


def learning_rate(options: SearchOptions, epoch: int) -> float:
    """The weights' learning rate of an epoch (from 0): a cosine from `lr` towards `lr_min`."""
    w = options.weights
    share = (1 + math.cos(math.pi * epoch / options.epochs)) / 2
    return w.lr_min + (w.lr - w.lr_min) * share
