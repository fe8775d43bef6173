"""Configurations beside the one that Triton completed: what to write down, what was loaded."""

from tritonclient.grpc.model_config_pb2 import ModelConfig

from ferryman.api.batching import Batching
from ferryman.api.model_source import TritonConfig
from ferryman.clients import model_config, pbtxt


def fragment(config_pbtxt: str, batching: Batching) -> str:
    """Return the fields of a configuration that say how it batches, with another batching.

    What the configuration says beside (the instances' kind and devices, the queue policy) is
    kept, so that the fragment can replace these fields in the file. Raises pbtxt.ConfigInvalid.
    """
    whole = model_config.with_batching(pbtxt.from_text(config_pbtxt), batching)
    part = ModelConfig(
        max_batch_size=whole.max_batch_size,
        dynamic_batching=whole.dynamic_batching,
        instance_group=whole.instance_group,
    )
    for group in part.instance_group:
        group.ClearField("name")  # Triton's own, made from the model's
    return pbtxt.to_text(part)


def mismatch(file_pbtxt: str, live_pbtxt: str) -> str:
    """Return what shows that a live configuration was not made from this file, or ''.

    Triton completes what a file leaves open and changes nothing that it states. Batching is left
    out: it may have been changed since. Raises pbtxt.ConfigInvalid.
    """
    file, live = pbtxt.from_text(file_pbtxt), pbtxt.from_text(live_pbtxt)
    for field in ("name", "backend", "platform", "default_model_filename"):
        stated, found = getattr(file, field), getattr(live, field)
        if stated and stated != found:
            return f"{field} is {stated!r} in the file and {found!r} in the server"
    for field in ("input", "output"):
        stated = sorted(tensor.name for tensor in getattr(file, field))
        found = sorted(tensor.name for tensor in getattr(live, field))
        if stated and stated != found:
            return f"{field} is {stated} in the file and {found} in the server"
    missing = [key for key in sorted(file.parameters) if _differs(key, file, live)]
    return f"parameters differ: {', '.join(missing)}" if missing else ""


def stated(live_pbtxt: str, file_pbtxt: str | None = None) -> TritonConfig:
    """Return, as an overlay, what a model's owner stated that no tuning may take away.

    The queue policy that is in force, even if it is none. Preferred sizes, by the file where it is
    known: Triton completes a missing list to ``[max_batch_size]``, which states nothing. The sizes
    of warm-up batches. Raises pbtxt.ConfigInvalid.
    """
    live = pbtxt.from_text(live_pbtxt)
    file = live if file_pbtxt is None else pbtxt.from_text(file_pbtxt)
    dynamic: dict[str, object] = {"default_queue_policy": model_config.policy_of(live)}
    sizes = list(file.dynamic_batching.preferred_batch_size)
    if sizes and sizes != [file.max_batch_size]:
        dynamic["preferred_batch_size"] = sizes
    samples = [{"batch_size": sample.batch_size} for sample in live.model_warmup]
    return {"dynamic_batching": dynamic, "model_warmup": samples}


def _differs(key: str, file: ModelConfig, live: ModelConfig) -> bool:
    return key not in live.parameters or file.parameters[key] != live.parameters[key]
