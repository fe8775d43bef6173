"""What NVIDIA's GPU feature discovery labels a Node with, and where NVML says otherwise.

Labels count where they say something: the cluster's other software goes by them. The product in
the hardware fingerprint stays NVML's, because labels come and go without the hardware changing.
Names: https://github.com/NVIDIA/k8s-device-plugin, docs/gpu-feature-discovery.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, Self

PREFIX: Final = "nvidia.com/"
Strategy = Literal["unknown", "none", "single", "mixed"]
Sharing = Literal["none", "time-slicing", "mps"]

_MIG: Final[dict[str, Strategy]] = {"none": "none", "single": "single", "mixed": "mixed"}
_SHARING: Final[dict[str, Sharing]] = {"time-slicing": "time-slicing", "mps": "mps"}
_MAX_REPLICAS: Final = 1024
#: The version in one label (since 0.17) or in three.
_DRIVER: Final = "cuda.driver-version.full"
_DRIVER_PARTS: Final = ("cuda.driver.major", "cuda.driver.minor", "cuda.driver.rev")
_NO_LABEL: Final = re.compile(r"[^A-Za-z0-9-_. ]")
#: What is appended to a product's name for a share or a MIG instance of it.
_SUFFIX: Final = re.compile(r"-(SHARED|MIG-.*)$")


@dataclass(frozen=True, slots=True)
class GpuLabels:
    """The labels that say something; None or unknown where there is none."""

    product: str | None = None
    """The product's name with dashes for spaces."""
    count: int | None = None
    driver: str | None = None
    sharing: Sharing = "none"
    replicas: int | None = None
    mig_strategy: Strategy = "unknown"

    @classmethod
    def read(cls, labels: Mapping[str, str]) -> Self:
        """Read a Node's labels; one that makes no sense counts as absent."""
        own = {key.removeprefix(PREFIX): value for key, value in labels.items() if value}
        sharing = _SHARING.get(own.get("gpu.sharing-strategy", ""), "none")
        replicas = _number(own.get("gpu.replicas"))
        return cls(
            product=_SUFFIX.sub("", own.get("gpu.product", "")) or None,
            count=_number(own.get("gpu.count")),
            driver=_driver(own),
            sharing=sharing,
            replicas=replicas if sharing != "none" else None,
            mig_strategy=_MIG.get(own.get("mig.strategy", ""), "unknown"),
        )

    def disagreements(
        self, *, products: Mapping[str, int], count: int, driver: str | None, mig: bool
    ) -> Iterator[str]:
        """Yield where NVML says otherwise, and which of the two counts.

        ``products`` are the GPUs of each name that NVML knows.
        """
        if self.driver and driver and not _same_version(self.driver, driver):
            yield (
                f"NVML names driver {driver}, GPU feature discovery's label {self.driver}: "
                "the label counts; it may be from before an upgrade"
            )
        names = {
            name: number for product, number in products.items() for name in _as_labels(product)
        }
        if self.product and names and self.product not in names:
            yield (
                f"NVML names {' + '.join(sorted(products))}, GPU feature discovery's label "
                f"{self.product}: NVML counts"
            )
        # Under MIG the label counts instances, if the strategy says so. Where products differ, the
        # labels are about one of them.
        if self.count and self.count not in {count, names.get(self.product or "")} and not mig:
            yield (
                f"NVML lists {count} GPUs, GPU feature discovery's label says {self.count}: "
                "NVML counts"
            )


def _number(value: str | None) -> int | None:
    if value is None or not value.isascii() or not value.isdigit():
        return None
    return int(value) if 1 <= int(value) <= _MAX_REPLICAS else None


def _driver(own: Mapping[str, str]) -> str | None:
    parts = [own[part] for part in _DRIVER_PARTS if part in own]
    return own.get(_DRIVER) or ".".join(parts) or None


def _as_labels(product: str) -> set[str]:
    """Return a product's name as GPU feature discovery makes a label's value of it.

    What a label cannot carry is dropped and blanks become dashes: ``Orin (nvgpu)`` is
    ``Orin-nvgpu``. Old versions made a dash of each blank and dropped nothing.
    """
    return {"-".join(_NO_LABEL.sub("", product).split()), product.replace(" ", "-")}


def _same_version(one: str, other: str) -> bool:
    """Compare versions number by number: 550.54.15 and 550.54.015 are the same.

    A label in parts has no more than three, and the last may be missing: what is not said does not
    disagree.
    """
    return all(mine == yours for mine, yours in zip(_numbers(one), _numbers(other), strict=False))


def _numbers(version: str) -> list[int | str]:
    parts = version.strip().split(".")
    return [int(part) if part.isascii() and part.isdigit() else part for part in parts]
