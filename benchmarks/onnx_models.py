"""ResNet50 split into steps and compressed, on this machine's CPU: ``make bench-onnx``.

The model is the reference benchmark's, whose weights are random: how accurate a variant is means
here how far its answers agree with the original's, on drawn images. Both commands are run as a
person runs them. The steps are served by a real Triton, as an ensemble, too.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
import tritonclient.grpc as triton

from benchmarks import common
from ferryman.core.compression.speed import SpeedVerdict
from ferryman.core.splitting.answers import largest_difference
from hack.models import resnet50
from tests.integration import served_parts
from tests.integration.tritonserver import TritonServer

NAME: Final = "onnx"
PARTS: Final = 4
IMAGES: Final = {"calibrate": 16, "check": 32}
#: The machine may be busy: the least time of many is that of the work alone.
ROUNDS: Final = 40
TOLERANCE: Final = 1e-5
#: What int8 is to gain where the CPU multiplies bytes in one instruction.
TARGET: Final = 2.0
VNNI: Final = {"avx512_vnni", "avx_vnni"}
SERVED_IMAGES: Final = 8
VARIANTS: Final = {
    "int8, 1 row": ("--int8", "--batch-size", "1"),
    "int8, 8 rows": ("--int8", "--batch-size", "8"),
    "float16, 1 row": ("--float16", "--batch-size", "1"),
    "half of the weights pruned, 1 row": ("--prune", "0.5", "--batch-size", "1"),
}


def main() -> int:
    """Measure all, write figures and section; return 1 where a target is missed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = resnet50.write(folder / "resnet50")
        for seed, (kind, count) in enumerate(IMAGES.items()):
            np.savez(folder / f"{kind}.npz", input=_images(count, seed))
        report: dict[str, Any] = {
            "date": common.today(),
            "machine": common.machine(),
            "split": _split(model, folder),
            "variants": {case: _compress(model, folder, case) for case in VARIANTS},
        }
    common.write_results(NAME, report)
    common.write_section(NAME, section(report))
    print(section(report))
    return int(not all(met for _, met in targets(report)))


def targets(report: dict[str, Any]) -> list[tuple[str, bool]]:
    """Return what is to be reached, and whether it is."""
    split, variants = report["split"], report["variants"]
    differences = (split["largestDifference"], split["servedDifference"])
    found = [(f"differences at most {TOLERANCE:g}", max(differences) <= TOLERANCE)]
    for case, variant in variants.items():
        if case.startswith("int8") and VNNI.intersection(variant["instructionSets"]):
            found.append((f"{case}: {TARGET:g} times", variant["speed"]["ratio"] >= TARGET))
    return found


def section(report: dict[str, Any]) -> str:
    """Return the section of docs/benchmarks.md."""
    host, split, variants = report["machine"], report["split"], report["variants"]
    sets = ", ".join(next(iter(variants.values()))["instructionSets"])
    steps = "\n".join(
        f"| {step['name']} | {step['nodes']} | {step['timeMs']:.1f} "
        f"| {sum(step['receivedBytes'].values()) / 1e6:.1f} |"
        for step in split["steps"]
    )
    rows = "\n".join(map(_row, variants.items()))
    missed = "; ".join(words for words, met in targets(report) if not met)
    return (
        "## Models that are split and compressed\n\n"
        f"`make bench-onnx` on {report['date']}, {host['cores']} cores ({host['cpu']}; {sets}), "
        "one thread.\nResNet50 as the reference benchmark has it: its weights are random, so that "
        "accuracy means\nagreement with the original's answers to drawn images (1 less the "
        f"relative error). {f'Missed: {missed}.' if missed else 'All targets are met.'}\n\n"
        f"`ferryman split --parts {PARTS}` found {split['places']} places to cut. The whole takes "
        f"{split['wholeMs']:.1f} ms. The\nlargest difference of an answer is "
        f"{split['largestDifference']:.1e} in one process, and\n{split['servedDifference']:.1e} "
        "from a real Triton that serves the steps as an ensemble (target: 1e-5).\n\n"
        f"| step | nodes | ms | MB taken |\n|---|---|---|---|\n{steps}\n\n"
        "`ferryman compress`, original and variant in turns; the interval is that of the median "
        "ratio\n(95 %). Target for int8 on a CPU with VNNI: 2 times as fast.\n\n"
        "| variant | original ms | variant ms | times as fast | found | MB | accuracy |\n"
        f"|---|---|---|---|---|---|---|\n{rows}\n"
    )


def _row(entry: tuple[str, dict[str, Any]]) -> str:
    case, variant = entry
    speed = variant["speed"]
    return (
        f"| {case} | {speed['originalMs']:.1f} | {speed['variantMs']:.1f} | {speed['ratio']:.2f} "
        f"({speed['least']:.2f} to {speed['most']:.2f}) | {_WORDS[speed['verdict']]} "
        f"| {variant['variantBytes'] / 1e6:.1f} | {variant['accuracy']:.4f} |"
    )


_WORDS: Final = {
    SpeedVerdict.FASTER: "faster",
    SpeedVerdict.SLOWER: "slower",
    SpeedVerdict.SAME: "no difference",
}


def _images(count: int, seed: int) -> np.typing.NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, 3, 224, 224), np.float32)


def _split(model: Path, folder: Path) -> dict[str, Any]:
    parts = folder / "resnet50-parts"
    report = _ferryman("split", model, "--parts", PARTS, "--rounds", ROUNDS, "-o", parts)
    return {**report, "servedDifference": _served_difference(model, parts, folder / "repository")}


def _served_difference(model: Path, parts: Path, repository: Path) -> float:
    """Serve the steps, and return how far the answers are from the model's at most."""
    name = served_parts.serve(repository, parts)
    session = onnxruntime.InferenceSession(model)
    differences = []
    with (
        TritonServer(repository, models=[name]) as server,
        triton.InferenceServerClient(server.grpc_url) as client,
    ):
        for image in np.split(_images(SERVED_IMAGES, seed=2), SERVED_IMAGES):
            given = triton.InferInput("input", list(image.shape), "FP32")
            given.set_data_from_numpy(image)
            answer = client.infer(name, [given]).as_numpy("output")
            whole = {"output": session.run(None, {"input": image})[0]}
            differences.append(largest_difference(whole, {"output": answer}))
    return max(differences)


def _compress(model: Path, folder: Path, case: str) -> dict[str, Any]:
    given = [*VARIANTS[case], "--check", folder / "check.npz", "--metric", "error"]
    if "--int8" in given:
        given += ["--calibrate", folder / "calibrate.npz"]
    return _ferryman("compress", model, *given, "-o", folder / f"{case}.onnx")


def _ferryman(*arguments: object) -> dict[str, Any]:
    print("==> ferryman", *arguments, flush=True)
    command = [sys.executable, "-m", "ferryman.cli.main", *map(str, arguments), "--json"]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603  ourselves
    found: dict[str, Any] = json.loads(said)
    return found


if __name__ == "__main__":
    sys.exit(main())
