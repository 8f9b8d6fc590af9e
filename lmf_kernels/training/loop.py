"""The loop: one step after another until the time is used up, a signal comes, or a pause is due."""

import time

import torch

from ..errors import CheckpointError
from .objective import to_tensors
from .timer import Timer

_REPORT_EVERY = 10.0  # seconds between lines of the log


class TrainingFailed(RuntimeError):
    """The loss is no longer a number."""


class Trainer:
    """State of a run and its steps.

    Args:
        model: models.Decoder, being trained.
        average: its twin for the averaged weights, in evaluation mode.
        objective: Objective of the model, wrapped for the team.
        recipe: Recipe. team: distributed.Team. config: kept in the state, see `run._check_same`.
    """

    def __init__(self, model, average, objective, recipe, team, config):
        self.model, self.average, self.objective = model, average, objective
        self.recipe, self.team, self.config = recipe, team, config
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.averaged = [a for a, p in zip(average.parameters(), model.parameters()) if p.requires_grad]
        self.optimiser = torch.optim.Adam(self.parameters, lr=recipe.lr, fused=True)
        self.step = 0
        self.used = 0.0  # seconds
        self.loss = None  # mean over the last lines of the log
        self._sum, self._count = 0.0, 0

    # One step

    def take_step(self, batch, share):
        """One step of Adam on a data.Batch, at this share of the run's time."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.learning_rate(share)
        loss = self.objective(*to_tensors(batch, self.team.device))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip)
        self.optimiser.step()
        self.step += 1
        # The average forgets its random beginning: its decay grows to the recipe's over the first steps.
        decay = min(self.recipe.ema, self.step / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(self.averaged, self.parameters, 1 - decay)
        self._sum = self._sum + loss.detach()
        self._count += 1

    # Until it ends

    def run(self, batches, folder, seconds, stop_signal, metadata, *, report, validate=None, pause_after=None,
            save_every=180.0, clock=None):
        """Steps until `seconds` are used in all; returns whether they are. Saves on the way and at the end.

        Raises:
            TrainingFailed: the loss is not a finite number.
        """
        timer = Timer(self.used, clock or time.monotonic)
        began, reported, saved = self.used, self.used, self.used
        step_reported = self.step
        stop = self.used >= seconds
        while not stop:
            self.take_step(next(batches), self.used / seconds)
            self.used, stop = self.team.sync(timer.lap(), stop_signal.received)
            timer.used = self.used
            stop = stop or self.used >= seconds or (pause_after is not None and self.used - began >= pause_after)
            due = stop or self.used - saved >= save_every
            if due or self.used - reported >= _REPORT_EVERY:  # nothing is saved before its loss is seen to be a number
                self._settle_loss()
                rate = (self.step - step_reported) / max(self.used - reported, 1e-9)
                reported, step_reported = self.used, self.step
                self._report(folder, seconds, rate, report)
            if due:
                saved = self.used
                self._save(folder, seconds, metadata, report, validate)
        return self.used >= seconds

    def _settle_loss(self):
        """Mean loss since the last line, the same on every process."""
        mean = self.team.mean(torch.as_tensor(self._sum / self._count))
        self.loss, self._sum, self._count = mean.item(), 0.0, 0
        if not self.loss < float("inf"):
            raise TrainingFailed(f"The loss is {self.loss} at step {self.step}: give a lower --lr; what was saved last "
                                 "still stands.")

    def _report(self, folder, seconds, rate, report):
        if not self.team.is_main:
            return
        lr = self.optimiser.param_groups[0]["lr"]
        folder.log({"step": self.step, "minutes": round(self.used / 60, 4), "loss": self.loss, "lr": lr})
        report(f"step {self.step}  {self.used / 60:.1f} of {seconds / 60:g} min  loss {self.loss:.5f}  lr {lr:.2e}  "
               f"{rate:.2f} steps/s")

    # State

    def _save(self, folder, seconds, metadata, report, validate):
        if self.team.is_main:
            values = validate(self.average) if validate else None
            if values:
                folder.log({"step": self.step, "psnr": values, "bicubic": validate.bicubic})
                gains = {scale: value - validate.bicubic[scale] for scale, value in values.items()}
                report("validation  " + ", ".join(f"x{scale} {value:.2f} dB ({gains[scale]:+.2f} over bicubic)"
                                                  for scale, value in values.items()))
            folder.write(self.state(), self.average, {**metadata, "training": {
                "steps": self.step, "minutes": round(self.used / 60, 2), "planned_minutes": seconds / 60,
                "final_loss": self.loss, "validation_psnr": values}})
        self.team.wait()

    def state(self):
        """What `load_state` needs to go on exactly."""
        return {"config": self.config, "step": self.step, "used": self.used, "weights": self.model.state_dict(),
                "average": self.average.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state(self, state):
        """Go on from a state of `RunFolder.read_state`."""
        try:
            self.model.load_state_dict(state["weights"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError):
            raise CheckpointError("The saved run does not fit its own model: its state file is damaged.") from None
        self.step, self.used = int(state["step"]), float(state["used"])
