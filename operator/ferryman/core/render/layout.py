"""How the model repository is laid out in a pod before Triton starts.

Version folders become links to the read-only model volume, ``config.pbtxt`` is a copy: the model's
files are never written.
"""

from collections.abc import Sequence
from typing import Final

from ferryman.api import names
from ferryman.core.render.slots import ServedModel

#: What the layout container says of a volume without files; ``serving.diagnose`` looks for it.
EMPTY_VOLUME: Final = "the model volume is empty"
#: What it says of a library that Triton would take in place of the live cap's.
OWN_STRATEGY: Final = f"the model volume has a {names.STRATEGY_LIBRARY} of its own"
_FILL_IT: Final = "put the model's files, or numbered version folders, at its top"
_STATE_IT: Final = f"state {names.PARAMETER_STRATEGY} in spec.model.config, or remove it"
#: Set in the layout container of pods that get a live cap.
LIVE_CAP_ENV: Final = "FERRYMAN_LIVE_CAP"
CONFIG_ENV: Final = "FERRYMAN_CONFIG"
MODEL_ENV: Final = "FERRYMAN_MODEL"


def layout_script(models: Sequence[ServedModel]) -> str:
    """Return what lays the models out, in POSIX sh.

    Version folders are those that Triton accepts: a number not starting with 0.
    """
    if len(models) == 1:
        return _laying_out(models[0], "")
    parts = [f"(\n{_laying_out(model, suffix(i, models))})\n" for i, model in enumerate(models)]
    return f"set -eu\n{''.join(parts)}"


def _spread(model: ServedModel, target: str) -> str:
    """Return what tells vLLM over how many devices to spread a model; "" for other models.

    Its arguments are a file of the model's version folder, which is a link or a folder of links.
    """
    if model.tensor_parallel is None:
        return ""
    return _ENGINE_ARGUMENTS.format(target=target, devices=model.tensor_parallel)


def suffix(index: int, models: Sequence[ServedModel]) -> str:
    """Return by what a model's variables differ from the others'."""
    return f"_{index}" if len(models) > 1 else ""


def _laying_out(model: ServedModel, own: str) -> str:
    name, slot = f"{MODEL_ENV}{own}", model.slot
    target = f"{names.PATH_REPOSITORY}/${name}"
    if model.storage_uri is None:
        laid = _WITHOUT_FILES.format(
            target=target, config=f"{names.PATH_CONFIG}/{slot.config_file}"
        )
        program = f'ln -s "{names.PATH_CONFIG}/{slot.program_file}" "{target}/1/model.py"\n'
        return laid + (program if model.program else "")
    whose = f"${name}: " if own else ""
    shared = _SHARED_LIBRARY if model.live_cap and own else ""
    return f"""\
set -eu
target={target}
into=$target/1
found=
for path in {slot.path}/*; do
  case ${{path##*/}} in
    '*' | lost+found | {names.CONFIG_FILE}) ;;
    0* | *[!0-9]*) found=1 ;;
    *) found=1; if [ -d "$path" ]; then into=$target; fi ;;
  esac
done
if [ -z "$found" ]; then
  echo "{whose}{EMPTY_VOLUME}: {_FILL_IT}" >&2
  exit 1
fi
rm -rf "$target"
mkdir -p "$into"
for path in {slot.path}/*; do
  case ${{path##*/}} in
    lost+found | {names.CONFIG_FILE}) ;;
    *) ln -s "$path" "$into/" ;;
  esac
done
if [ -n "${{{LIVE_CAP_ENV}{own}:-}}" ]; then
  for path in "$target/{names.STRATEGY_LIBRARY}" "$target"/*/{names.STRATEGY_LIBRARY}; do
    if [ -e "$path" ]; then
      echo "{whose}{OWN_STRATEGY}: {_STATE_IT}" >&2
      exit 1
    fi
  done
fi
if [ -n "${{{CONFIG_ENV}:-}}" ]; then
  printf '%s' "${CONFIG_ENV}" > "$target/{names.CONFIG_FILE}"
else
  cp {names.PATH_CONFIG}/{slot.config_file} "$target/{names.CONFIG_FILE}"
fi
{shared}{_spread(model, target)}"""


#: Its configuration may come while the pod runs, and is then there for a container that restarts.
_WITHOUT_FILES: Final = """\
set -eu
target={target}
rm -rf "$target"
mkdir -p "$target/1"
ln -s "{config}" "$target/config.pbtxt"
"""
#: One copy for all: it keeps nothing that models share.
_SHARED_LIBRARY: Final = f"""\
ln -s ../{names.STRATEGY_LIBRARY} "$target/{names.STRATEGY_LIBRARY}"
"""
#: ``tensor_parallel_size`` in ``model.json`` (vllm_backend's README, "Using the vLLM Backend");
#: what the file says of parallelism itself must not contradict it. vLLM's image has Python.
_ENGINE_ARGUMENTS: Final = """\
for version in "{target}"/[1-9]*; do
  if [ ! -e "$version/model.json" ]; then continue; fi
  if [ -L "$version" ]; then
    source=$(cd -P "$version" && pwd)
    rm "$version"
    mkdir "$version"
    for path in "$source"/*; do ln -s "$path" "$version/"; done
  fi
  python3 - "$version/model.json" {devices} <<'END'
import json, os, sys
path, devices = sys.argv[1], int(sys.argv[2])
with open(path) as file:
    arguments = json.load(file)
stages = int(arguments.get("pipeline_parallel_size", 1))
size = int(arguments.get("tensor_parallel_size", devices // stages))
if size * stages != devices:
    sys.exit(
        f"model.json asks for {{size * stages}} devices (tensor_parallel_size {{size}}, "
        f"pipeline_parallel_size {{stages}}), and spec.parallelism.devices is {{devices}}: "
        "change one of them"
    )
os.remove(path)
with open(path, "w") as file:
    json.dump({{**arguments, "tensor_parallel_size": size}}, file)
END
done
"""
