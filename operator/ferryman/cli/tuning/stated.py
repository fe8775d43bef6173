"""What a model's owner stated, which ``ferryman tune`` leaves as it is."""

import argparse

from ferryman.api.model_source import TritonConfig
from ferryman.cli.tuning.options import OptionsError
from ferryman.clients import config_fragment


def stated(
    args: argparse.Namespace, live_pbtxt: str, file_pbtxt: str | None = None
) -> TritonConfig:
    """Return what stays, as an overlay: everything but what was asked for.

    Raises OptionsError where what was asked for could not be taken back, and pbtxt.ConfigInvalid.
    """
    found = config_fragment.stated(live_pbtxt, file_pbtxt)
    if args.on_overload is None:
        return found
    dynamic = dict(found["dynamic_batching"])
    if dynamic.pop("default_queue_policy")["timeout_action"] == "DELAY":
        raise OptionsError(
            "--on-overload: the model's default_queue_policy has timeout_action DELAY, which would "
            "be lost: leave --on-overload out, or remove the policy first"
        )
    return {**found, "dynamic_batching": dynamic}


def notes(kept: TritonConfig) -> tuple[str, ...]:
    """Return what stays, in words; nothing where nothing was stated."""
    dynamic, samples = kept["dynamic_batching"], kept["model_warmup"]
    policy = dynamic.get("default_queue_policy", {})
    waits_us, most = (
        policy.get("default_timeout_microseconds", 0),
        policy.get("max_queue_size", 0),
    )
    sizes = dynamic.get("preferred_batch_size", [])
    warm_up = max((sample["batch_size"] for sample in samples), default=0)
    told = {
        f"requests are rejected after {waits_us} µs": waits_us,
        f"no more than {most} requests wait": most,
        f"preferred_batch_size {', '.join(map(str, sizes))}": sizes,
        f"max_batch_size is at least {warm_up}, the largest batch of model_warmup": warm_up > 1,
    }
    return tuple(f"stays as the model has it: {w}" for w, yes in told.items() if yes)
